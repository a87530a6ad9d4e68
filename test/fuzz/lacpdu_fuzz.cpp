// Any bytes as a received frame: nothing is read past their end (the sanitizer sees it), and what
// is understood survives writing and reading.
#include "fuzz/check.h"
#include "lacp/lacpdu.h"
#include "lacp/marker.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

using namespace lagg;

namespace {

constexpr net::mac_address source{{2, 0, 0, 0, 0, 1}};

void read_lacpdu(std::span<std::uint8_t const> bytes) {
    auto const pdu = lacp::decode_lacpdu(bytes);
    if (!pdu) {
        return;
    }
    fuzz::check(bytes.size() >= 72, "a LACPDU has its three TLVs");
    fuzz::check(pdu->version >= 1, "a LACPDU has a version");
    lacp::frame const written = lacp::encode(*pdu, source);
    auto const again = lacp::decode_lacpdu(written);
    fuzz::check(again.has_value() && *again == *pdu, "a LACPDU survives writing and reading");
    fuzz::check(lacp::encode(*again, source) == written, "a LACPDU is written in one way");
    auto const cut = lacp::decode_lacpdu(bytes.first(72));
    fuzz::check(cut.has_value() && *cut == *pdu, "what is behind the three TLVs says nothing");
}

void read_marker(std::span<std::uint8_t const> bytes) {
    auto const pdu = lacp::decode_marker(bytes);
    if (!pdu) {
        return;
    }
    fuzz::check(bytes.size() >= 32, "a Marker has its TLV");
    lacp::frame const written = lacp::encode(*pdu, source);
    auto const again = lacp::decode_marker(written);
    fuzz::check(again.has_value() && *again == *pdu, "a Marker survives writing and reading");
    fuzz::check(!lacp::decode_lacpdu(bytes), "a Marker is no LACPDU");
    auto const answer = lacp::respond(*pdu);
    fuzz::check(answer.has_value() != pdu->response, "a request is answered, a response is not");
    fuzz::check(!answer || !lacp::respond(*answer), "an answer is never answered");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    // A copy of the very size, so that one byte too many is seen.
    auto const copy = std::make_unique<std::uint8_t[]>(size);
    for (std::size_t i = 0; i < size; ++i) {
        copy[i] = data[i];
    }
    std::span<std::uint8_t const> const bytes(copy.get(), size);
    auto const subtype = lacp::slow_subtype(bytes);
    fuzz::check(subtype.has_value() || !lacp::decode_lacpdu(bytes),
                "what has no subtype is no LACPDU");
    read_lacpdu(bytes);
    read_marker(bytes);
    return 0;
}
