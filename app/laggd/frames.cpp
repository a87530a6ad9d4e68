#include "frames.h"

#include <cstring>
#include <rte_byteorder.h>
#include <rte_mbuf.h>

namespace laggd {

namespace {

constexpr std::uint32_t magic = 0x6c616767;
constexpr std::size_t mark_at = 42;
constexpr std::size_t sum_at = 56;
constexpr std::size_t body_at = 60;
constexpr unsigned crc_bytes = 4;
constexpr std::size_t sum_from = 12; // addresses may be rewritten on the way

struct [[gnu::packed]] wire_mark {
    std::uint32_t magic;
    std::uint16_t stream;
    std::uint16_t flow;
    std::uint16_t phase;
    std::uint32_t sequence;
    std::uint32_t sum;
};
static_assert(mark_at + sizeof(wire_mark) == body_at);

std::uint64_t mix(std::uint64_t state, std::uint8_t const* bytes, std::size_t count) {
    while (count > 0) {
        std::uint64_t word = 0;
        std::size_t const step = count < sizeof(word) ? count : sizeof(word);
        std::memcpy(&word, bytes, step);
        state = (state ^ word) * 0x9e3779b97f4a7c15ULL;
        state ^= state >> 29;
        bytes += step;
        count -= step;
    }
    return state;
}

std::uint32_t sum_of(std::uint8_t const* frame, std::size_t length) {
    auto state = mix(length, frame + sum_from, sum_at - sum_from);
    state = mix(state, frame + body_at, length - body_at);
    return static_cast<std::uint32_t>(state ^ (state >> 32));
}

void put16(std::uint8_t* at, unsigned value) {
    at[0] = static_cast<std::uint8_t>(value >> 8);
    at[1] = static_cast<std::uint8_t>(value);
}

std::uint16_t fold(std::uint32_t sum) {
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>((sum & 0xffff) + (sum >> 16));
}

flow_header header_of(std::uint16_t stream, unsigned flow, mac_bytes const& source,
                      mac_bytes const& destination) {
    flow_header made{};
    auto* const b = made.bytes;
    std::memcpy(b, destination.data(), 6);
    std::memcpy(b + 6, source.data(), 6);
    put16(b + 12, 0x0800);
    b[14] = 0x45;
    b[22] = 64; // time to live
    b[23] = 17; // UDP
    // 198.18.0.0/15 is set apart for measurements (RFC 2544).
    b[26] = 198;
    b[27] = 18;
    put16(b + 28, flow + 1);
    b[30] = 198;
    b[31] = 19;
    put16(b + 32, stream + 1U);
    put16(b + 34, 1024 + flow % 50000);
    put16(b + 36, 9); // discard
    std::uint32_t sum = 0;
    for (std::size_t at = 14; at < 34; at += 2) {
        sum += static_cast<std::uint32_t>(b[at] << 8 | b[at + 1]);
    }
    made.partial_sum = fold(sum);
    return made;
}

} // namespace

frame_maker::frame_maker(generator_settings const& settings, std::uint16_t stream,
                         mac_bytes const& source, mac_bytes const& destination)
    : sequence_(settings.flows), sizes_(settings.sizes), stream_(stream) {
    flows_.reserve(settings.flows);
    for (unsigned flow = 0; flow < settings.flows; ++flow) {
        flows_.push_back(header_of(stream, flow, source, destination));
    }
}

bool frame_maker::fill(rte_mbuf* frame, std::uint16_t phase) {
    auto const length = static_cast<std::uint16_t>(sizes_[next_size_] - crc_bytes);
    auto* const bytes = reinterpret_cast<std::uint8_t*>(rte_pktmbuf_append(frame, length));
    if (bytes == nullptr) {
        return false;
    }
    auto const& flow = flows_[next_flow_];
    std::memcpy(bytes, flow.bytes, sizeof(flow.bytes));
    unsigned const ip_length = length - 14U;
    put16(bytes + 16, ip_length);
    put16(bytes + 24, static_cast<std::uint16_t>(~fold(flow.partial_sum + ip_length)));
    put16(bytes + 38, ip_length - 20);
    wire_mark mark{};
    mark.magic = rte_cpu_to_be_32(magic);
    mark.stream = rte_cpu_to_be_16(stream_);
    mark.flow = rte_cpu_to_be_16(static_cast<std::uint16_t>(next_flow_));
    mark.phase = rte_cpu_to_be_16(phase);
    auto const sequence = sequence_[next_flow_]++;
    mark.sequence = rte_cpu_to_be_32(sequence);
    std::memcpy(bytes + mark_at, &mark, sizeof(mark));
    std::memset(bytes + body_at, static_cast<int>(sequence & 0xff), length - body_at);
    mark.sum = rte_cpu_to_be_32(sum_of(bytes, length));
    std::memcpy(bytes + sum_at, &mark.sum, sizeof(mark.sum));
    next_flow_ = next_flow_ + 1 == flows_.size() ? 0 : next_flow_ + 1;
    next_size_ = next_size_ + 1 == sizes_.size() ? 0 : next_size_ + 1;
    return true;
}

std::uint16_t phase_of(rte_mbuf const* frame) {
    wire_mark found;
    std::memcpy(&found, rte_pktmbuf_mtod_offset(frame, std::uint8_t const*, mark_at),
                sizeof(found));
    return rte_be_to_cpu_16(found.phase);
}

frame_state read_frame(rte_mbuf const* frame, frame_mark& mark) {
    auto const length = rte_pktmbuf_pkt_len(frame);
    if (length < body_at || length > max_frame) {
        return frame_state::foreign;
    }
    std::uint8_t copy[max_frame];
    auto const* const bytes =
        static_cast<std::uint8_t const*>(rte_pktmbuf_read(frame, 0, length, copy));
    wire_mark found;
    std::memcpy(&found, bytes + mark_at, sizeof(found));
    if (found.magic != rte_cpu_to_be_32(magic)) {
        return frame_state::foreign;
    }
    if (rte_be_to_cpu_32(found.sum) != sum_of(bytes, length)) {
        return frame_state::damaged;
    }
    mark = {rte_be_to_cpu_16(found.stream), rte_be_to_cpu_16(found.flow),
            rte_be_to_cpu_16(found.phase), rte_be_to_cpu_32(found.sequence)};
    return frame_state::whole;
}

} // namespace laggd
