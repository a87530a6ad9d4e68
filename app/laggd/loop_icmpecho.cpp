// icmpecho: answers ARP requests, for whatever address, and ICMP echo requests; all else ends here.
// Up to two VLAN tags in band are kept.
#include "packet_loop.h"

#include <cstring>
#include <rte_arp.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_icmp.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

namespace laggd {

namespace {

constexpr std::uint8_t icmp_echo_request = 8;
constexpr std::uint8_t icmp_echo_reply = 0;

// A header at `offset`, copied out; a header may lie across segments or behind the end.
template<class Header>
bool read(rte_mbuf const* frame, std::uint32_t offset, Header& header) {
    auto const* const at = rte_pktmbuf_read(frame, offset, sizeof(Header), &header);
    if (at == nullptr) {
        return false;
    }
    if (at != &header) {
        std::memcpy(&header, at, sizeof(Header));
    }
    return true;
}

void return_to_sender(rte_mbuf* frame, mac_bytes const& own) {
    auto* const header = rte_pktmbuf_mtod(frame, rte_ether_hdr*);
    header->dst_addr = header->src_addr;
    std::memcpy(header->src_addr.addr_bytes, own.data(), own.size());
}

class icmpecho_loop final : public packet_loop {
public:
    using packet_loop::packet_loop;

    void poll() override {
        rte_mbuf* frames[max_burst];
        auto const count = receive(frames);
        std::uint16_t answers = 0;
        for (std::uint16_t i = 0; i < count; ++i) {
            if (answer(frames[i])) {
                frames[answers++] = frames[i];
            } else {
                counters_.consumed.add(1);
                rte_pktmbuf_free(frames[i]);
            }
        }
        send(frames, answers);
    }

private:
    // Turns the frame into its answer, in place.  False: it has none.
    bool answer(rte_mbuf* frame) {
        std::uint32_t offset = sizeof(rte_ether_hdr);
        rte_ether_hdr ether;
        if (!read(frame, 0, ether)) {
            return false;
        }
        std::uint16_t type = rte_be_to_cpu_16(ether.ether_type);
        for (int tags = 0; tags < 2 && (type == RTE_ETHER_TYPE_VLAN || type == RTE_ETHER_TYPE_QINQ);
             ++tags) {
            rte_vlan_hdr vlan;
            if (!read(frame, offset, vlan)) {
                return false;
            }
            type = rte_be_to_cpu_16(vlan.eth_proto);
            offset += static_cast<std::uint32_t>(sizeof(vlan));
        }
        switch (type) {
        case RTE_ETHER_TYPE_ARP: return answer_arp(frame, offset);
        case RTE_ETHER_TYPE_IPV4: return answer_ping(frame, offset);
        default: return false;
        }
    }

    // Headers are written where they lie only when the first segment holds them.
    bool answer_arp(rte_mbuf* frame, std::uint32_t offset) {
        if (rte_pktmbuf_data_len(frame) < offset + sizeof(rte_arp_hdr)) {
            return false;
        }
        auto* const arp = rte_pktmbuf_mtod_offset(frame, rte_arp_hdr*, offset);
        if (arp->arp_hardware != rte_cpu_to_be_16(RTE_ARP_HRD_ETHER) ||
            arp->arp_protocol != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) || arp->arp_hlen != 6 ||
            arp->arp_plen != 4 || arp->arp_opcode != rte_cpu_to_be_16(RTE_ARP_OP_REQUEST)) {
            return false;
        }
        auto& data = arp->arp_data;
        auto const wanted_ip = data.arp_tip;
        arp->arp_opcode = rte_cpu_to_be_16(RTE_ARP_OP_REPLY);
        data.arp_tha = data.arp_sha;
        data.arp_tip = data.arp_sip;
        std::memcpy(data.arp_sha.addr_bytes, where_.own_mac.data(), 6);
        data.arp_sip = wanted_ip;
        return_to_sender(frame, where_.own_mac);
        return true;
    }

    bool answer_ping(rte_mbuf* frame, std::uint32_t offset) {
        auto const length = rte_pktmbuf_data_len(frame);
        if (length < offset + sizeof(rte_ipv4_hdr)) {
            return false;
        }
        auto* const ip = rte_pktmbuf_mtod_offset(frame, rte_ipv4_hdr*, offset);
        auto const ip_length = static_cast<std::uint32_t>((ip->version_ihl & 0x0f) * 4);
        bool const fragment = (ip->fragment_offset & rte_cpu_to_be_16(0x3fff)) != 0;
        if ((ip->version_ihl >> 4) != 4 || ip_length < sizeof(rte_ipv4_hdr) ||
            ip->next_proto_id != IPPROTO_ICMP || fragment ||
            length < offset + ip_length + sizeof(rte_icmp_hdr)) {
            return false;
        }
        auto* const icmp = rte_pktmbuf_mtod_offset(frame, rte_icmp_hdr*, offset + ip_length);
        if (icmp->icmp_type != icmp_echo_request || icmp->icmp_code != 0) {
            return false;
        }
        // A host does not speak from a multicast or broadcast address: it gets the sender's own.
        auto const target = ip->dst_addr;
        auto const first = static_cast<std::uint8_t>(rte_be_to_cpu_32(target) >> 24);
        ip->dst_addr = ip->src_addr;
        if (first < 224) {
            ip->src_addr = target; // the sum of the header stays what it was
        } else {
            ip->src_addr = ip->dst_addr ^ rte_cpu_to_be_32(1);
            ip->hdr_checksum = 0;
            ip->hdr_checksum = rte_ipv4_cksum(ip);
        }
        // RFC 1624: only the type changes, from 8 to 0, in the high byte of its 16-bit word.
        icmp->icmp_type = icmp_echo_reply;
        std::uint32_t sum = static_cast<std::uint16_t>(~rte_be_to_cpu_16(icmp->icmp_cksum));
        sum += static_cast<std::uint16_t>(~(icmp_echo_request << 8));
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        icmp->icmp_cksum = rte_cpu_to_be_16(static_cast<std::uint16_t>(~sum));
        return_to_sender(frame, where_.own_mac);
        return true;
    }
};

} // namespace

std::unique_ptr<packet_loop> make_icmpecho(wiring const& where) {
    return std::make_unique<icmpecho_loop>(where);
}

} // namespace laggd
