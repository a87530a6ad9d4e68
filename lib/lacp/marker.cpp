#include "lacp/marker.h"

#include "lacp/pdu_bytes.h"

namespace lagg::lacp {
namespace {

constexpr std::uint8_t version_1 = 1;
constexpr pdu_tlv request_tlv{1, 16};
constexpr pdu_tlv response_tlv{2, 16};

} // namespace

result<marker_pdu, pdu_error> decode_marker(std::span<std::uint8_t const> bytes) {
    auto const kind = slow_subtype(bytes);
    if (!kind) {
        return kind.error();
    }
    if (*kind != static_cast<std::uint8_t>(subtype::marker)) {
        return pdu_error::unknown_subtype;
    }
    if (bytes.size() < pdu_at + 2 + request_tlv.length) {
        return pdu_error::illegal;
    }
    pdu_reader in(bytes.subspan(pdu_at + 1));
    std::uint8_t const version = in.u8();
    pdu_tlv const tlv = in.tlv();
    if (version < version_1 || (tlv != request_tlv && tlv != response_tlv)) {
        return pdu_error::illegal;
    }
    marker_pdu pdu;
    pdu.response = tlv == response_tlv;
    pdu.requester_port = in.u16();
    pdu.requester_system = in.address();
    pdu.transaction = in.u32();
    return pdu;
}

frame encode(marker_pdu const& pdu, net::mac_address const& source) {
    frame bytes{};
    pdu_writer out(bytes);
    out.header(source, subtype::marker, version_1);
    out.tlv(pdu.response ? response_tlv : request_tlv);
    out.u16(pdu.requester_port);
    out.address(pdu.requester_system);
    out.u32(pdu.transaction);
    // What follows is zero: pad, the terminator (type 0, length 0), reserved.
    return bytes;
}

std::optional<marker_pdu> respond(marker_pdu const& received) {
    if (received.response) {
        return std::nullopt;
    }
    marker_pdu answer = received;
    answer.response = true;
    return answer;
}

} // namespace lagg::lacp
