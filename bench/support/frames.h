// Frames to send: what traffic looks like, and how many buffers are in rotation.
// Knows no port.
#pragma once

#include <rte_mbuf.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace bench {

/// Mbufs in rotation: those that stay in the nearest caches, and those that do not.
inline constexpr std::size_t warm = 256;
inline constexpr std::size_t cold = 8192;

/// What the frames are.  Each is of another flow; addresses and ports are random, always the same.
enum class traffic {
    udp4,  // 64 bytes with FCS, the reference
    udp6,  // IPv6, 64 bytes of frame
    vlan,  // udp4 behind one tag
    mixed, // udp4, tcp4, udp6, vlan, IPv4 with options, ARP at random
    imix,  // udp4 of 64, 594 and 1518 bytes, 7 : 4 : 1
    one_flow,
};
std::string name_of(traffic kind);

/// Frames in rotation; the same object each time it is asked for.  `rss`: with a NIC's hash.
class rotation {
public:
    static rotation& of(traffic kind, std::size_t mbufs, bool rss);
    /// One more, for another lcore.
    static std::unique_ptr<rotation> another(traffic kind, std::size_t mbufs);

    /// The next `count` frames, at most 1024, in an array that the callee may write to.
    rte_mbuf** next(std::uint16_t count) {
        rte_mbuf** const frames = frames_.data() + at_;
        at_ += count;
        at_ = at_ >= size_ ? 0 : at_;
        return frames;
    }
    std::vector<rte_mbuf*> all() const;

private:
    rotation(traffic kind, std::size_t mbufs, bool rss);
    std::vector<rte_mbuf*> frames_; // and the first ones once more: no burst has to be cut
    std::size_t size_;
    std::size_t at_ = 0;
};

} // namespace bench
