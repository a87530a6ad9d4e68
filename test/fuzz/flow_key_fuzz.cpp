// Any bytes as the first segment of a frame: nothing is read past their end, the key depends on
// nothing behind it, and the short way through plain IPv4 gives what the long one gives.
#include "fuzz/check.h"
#include "net/flow_key.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

using namespace lagg;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const copy = std::make_unique<std::uint8_t[]>(size);
    std::copy_n(data, size, copy.get());
    net::frame_view const frame{copy.get(), static_cast<std::uint32_t>(size),
                                static_cast<std::uint32_t>(size)};
    net::flow_key const key = net::parse_flow(frame);
    fuzz::check(!(key.fragment && key.has_ports), "a fragment has no ports");
    fuzz::check(key.has_ports || (key.source_port == 0 && key.destination_port == 0),
                "ports that were not found are zero");
    fuzz::check(key.kind != net::flow_kind::l2 ||
                    (key.source == net::ip_address{} && key.destination == net::ip_address{} &&
                     key.protocol == 0),
                "without IP nothing of IP is said");
    fuzz::check(key.outer_vlan < 4096 && key.inner_vlan < 4096, "a VLAN id has 12 bits");
    if (net::is_plain_ipv4(frame)) {
        fuzz::check(net::parse_plain_ipv4(frame) == key, "the short way gives the same key");
    }
    net::frame_view whole = frame;
    whole.total += 1000;
    fuzz::check(net::parse_flow(whole) == key, "padding and further segments change no key");
    return 0;
}
