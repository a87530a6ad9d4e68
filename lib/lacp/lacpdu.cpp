#include "lacp/lacpdu.h"

#include "lacp/pdu_bytes.h"

namespace lagg::lacp {
namespace {

// The TLVs of version 1 (6.4.2.3): type, and length that counts type and length as well.
constexpr std::uint8_t version_1 = 1;
constexpr pdu_tlv actor_tlv{1, 20};
constexpr pdu_tlv partner_tlv{2, 20};
constexpr pdu_tlv collector_tlv{3, 16};
constexpr std::size_t reserved_in_information = 3;

parameters read_parameters(pdu_reader& in) {
    parameters p;
    p.system.priority = in.u16();
    p.system.address = in.address();
    p.key = in.u16();
    p.port.priority = in.u16();
    p.port.number = in.u16();
    p.state = in.u8();
    in.skip(reserved_in_information);
    return p;
}

void write_parameters(pdu_writer& out, parameters const& p) {
    out.u16(p.system.priority);
    out.address(p.system.address);
    out.u16(p.key);
    out.u16(p.port.priority);
    out.u16(p.port.number);
    out.u8(p.state);
    out.skip(reserved_in_information);
}

} // namespace

result<std::uint8_t, pdu_error> slow_subtype(std::span<std::uint8_t const> bytes) {
    if (bytes.size() <= pdu_at) {
        return pdu_error::not_slow;
    }
    pdu_reader in(bytes.subspan(ethertype_at));
    if (in.u16() != slow_protocols_ethertype) {
        return pdu_error::not_slow;
    }
    return in.u8();
}

result<lacpdu, pdu_error> decode_lacpdu(std::span<std::uint8_t const> bytes) {
    auto const kind = slow_subtype(bytes);
    if (!kind) {
        return kind.error();
    }
    if (*kind != static_cast<std::uint8_t>(subtype::lacp)) {
        return pdu_error::unknown_subtype;
    }
    constexpr std::size_t needed =
        pdu_at + 2 + actor_tlv.length + partner_tlv.length + collector_tlv.length;
    if (bytes.size() < needed) {
        return pdu_error::illegal;
    }
    pdu_reader in(bytes.subspan(pdu_at + 1));
    lacpdu pdu;
    pdu.version = in.u8();
    if (pdu.version < version_1 || in.tlv() != actor_tlv) {
        return pdu_error::illegal;
    }
    pdu.actor = read_parameters(in);
    if (in.tlv() != partner_tlv) {
        return pdu_error::illegal;
    }
    pdu.partner = read_parameters(in);
    if (in.tlv() != collector_tlv) {
        return pdu_error::illegal;
    }
    pdu.collector_max_delay = in.u16();
    return pdu;
}

frame encode(lacpdu const& pdu, net::mac_address const& source) {
    frame bytes{};
    pdu_writer out(bytes);
    out.header(source, subtype::lacp, pdu.version);
    out.tlv(actor_tlv);
    write_parameters(out, pdu.actor);
    out.tlv(partner_tlv);
    write_parameters(out, pdu.partner);
    out.tlv(collector_tlv);
    out.u16(pdu.collector_max_delay);
    // What follows is zero: reserved, the terminator (type 0, length 0), reserved.
    return bytes;
}

} // namespace lagg::lacp
