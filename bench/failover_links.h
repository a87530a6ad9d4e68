// Two member ports whose links can be cut: of which driver, how the cut is told, and how many
// frames were put on a member, cut or not.  Knows no bond.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace bench {

/// When the cut was caused, and when the world could know of it: the driver's link event, the
/// kernel's message, or the cut itself where nobody is told.  TSC; 0: not yet.
struct cut_times {
    std::atomic<std::uint64_t> cause{0}; // [cut-time]
    std::atomic<std::uint64_t> event{0}; // [cut-time]
};

class link_pair {
public:
    virtual ~link_pair() = default;
    link_pair() = default;
    link_pair(link_pair const&) = delete;
    link_pair& operator=(link_pair const&) = delete;

    std::array<std::uint16_t, 2> const& ports() const { return ports_; }
    /// Frames that a burst got rid of here, whatever became of them.  The sender's thread.
    virtual std::uint64_t put_on(std::size_t which) const;
    /// Any thread but the sender's.
    virtual void cut(std::size_t which, cut_times& times) = 0;
    virtual void heal(std::size_t which) = 0;
    /// Frames may be sent again and again, and are never freed.
    virtual bool keeps_frames() const { return false; }

protected:
    std::array<std::uint16_t, 2> ports_{};
};

/// A kind of link: its name is driver/how.
struct link_kind {
    std::string name;
    std::unique_ptr<link_pair> (*make)();
};

/// Those that can be had here; why another one cannot is said on standard error.  To be called
/// before EAL starts and before there is a second thread: the process gets a network name space.
std::vector<link_kind> link_kinds();

} // namespace bench
