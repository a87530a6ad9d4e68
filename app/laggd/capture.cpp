#include "capture.h"

#include <pcap/pcap.h>

namespace laggd {

namespace {

constexpr std::size_t most_bytes = std::size_t{1} << 30;

struct closer {
    void operator()(pcap_t* file) const { pcap_close(file); }
};

} // namespace

why_not capture::load(std::string const& file, std::shared_ptr<capture const>& frames) {
    char error[PCAP_ERRBUF_SIZE] = {};
    std::unique_ptr<pcap_t, closer> const input(pcap_open_offline(file.c_str(), error));
    if (input == nullptr) {
        return strf("%s: cannot be read as a capture file: %s", file.c_str(), error);
    }
    if (int const type = pcap_datalink(input.get()); type != DLT_EN10MB) {
        char const* const name = pcap_datalink_val_to_name(type);
        return strf("%s: link type %s, only Ethernet (EN10MB) can be replayed", file.c_str(),
                    name == nullptr ? "unknown" : name);
    }
    auto made = std::make_shared<capture>();
    made->file_ = file;
    pcap_pkthdr* header = nullptr;
    std::uint8_t const* data = nullptr;
    int answer = 0;
    while ((answer = pcap_next_ex(input.get(), &header, &data)) == 1) {
        if (header->caplen < header->len || header->caplen < 14) {
            ++made->cut_short_;
            continue;
        }
        if (made->bytes_.size() + header->caplen > most_bytes) {
            return strf("%s: more than 1 GiB of frames", file.c_str());
        }
        made->bytes_.insert(made->bytes_.end(), data, data + header->caplen);
        made->ends_.push_back(made->bytes_.size());
    }
    if (answer == PCAP_ERROR) {
        return strf("%s: damaged after frame %zu: %s", file.c_str(),
                    made->ends_.size() + made->cut_short_, pcap_geterr(input.get()));
    }
    if (made->ends_.empty()) {
        return strf("%s: no whole frame in it (%zu are cut short)", file.c_str(), made->cut_short_);
    }
    frames = std::move(made);
    return {};
}

} // namespace laggd
