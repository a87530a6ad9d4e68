// The frames of a capture file, in memory.  Knows no port.
#pragma once

#include "text.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace laggd {

class capture {
public:
    /// Reads the whole file (pcap or pcapng, link type Ethernet).  On success `frames` is set.
    static why_not load(std::string const& file, std::shared_ptr<capture const>& frames);

    std::size_t size() const { return ends_.size(); }
    std::span<std::uint8_t const> frame(std::size_t index) const {
        std::size_t const from = index == 0 ? 0 : ends_[index - 1];
        return std::span(bytes_).subspan(from, ends_[index] - from);
    }
    std::string const& file() const { return file_; }
    /// Frames of which the file holds only the beginning; they are left out.
    std::size_t cut_short() const { return cut_short_; }

private:
    std::string file_;
    std::vector<std::uint8_t> bytes_;
    std::vector<std::size_t> ends_;
    std::size_t cut_short_ = 0;
};

} // namespace laggd
