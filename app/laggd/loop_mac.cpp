// mac: source becomes the tx port's address, destination its peer's.  macswap: the two change
// places.
#include "packet_loop.h"

#include <cstring>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <utility>

namespace laggd {

namespace {

bool has_addresses(rte_mbuf const* frame) {
    return rte_pktmbuf_data_len(frame) >= sizeof(rte_ether_hdr);
}

class mac_loop final : public packet_loop {
public:
    using packet_loop::packet_loop;

    void poll() override {
        rte_mbuf* frames[max_burst];
        auto const count = receive(frames);
        for (std::uint16_t i = 0; i < count; ++i) {
            if (has_addresses(frames[i])) {
                auto* const header = rte_pktmbuf_mtod(frames[i], rte_ether_hdr*);
                std::memcpy(header->dst_addr.addr_bytes, where_.peer_mac.data(), 6);
                std::memcpy(header->src_addr.addr_bytes, where_.own_mac.data(), 6);
            }
        }
        send(frames, count);
    }
};

class macswap_loop final : public packet_loop {
public:
    using packet_loop::packet_loop;

    void poll() override {
        rte_mbuf* frames[max_burst];
        auto const count = receive(frames);
        for (std::uint16_t i = 0; i < count; ++i) {
            if (has_addresses(frames[i])) {
                auto* const header = rte_pktmbuf_mtod(frames[i], rte_ether_hdr*);
                auto const source = header->src_addr;
                header->src_addr = header->dst_addr;
                header->dst_addr = source;
            }
        }
        send(frames, count);
    }
};

} // namespace

std::unique_ptr<packet_loop> make_mac(wiring const& where) {
    return std::make_unique<mac_loop>(where);
}

std::unique_ptr<packet_loop> make_macswap(wiring const& where) {
    return std::make_unique<macswap_loop>(where);
}

} // namespace laggd
