// What the kernel says of its links, by interface index: some drivers (af_packet, af_xdp) report no
// loss of carrier, but tell which interface they stand on.  Knows no port and no member.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace lagg::pmd {

/// rtnetlink's link messages, read.  A value: no socket, no clock.
class link_table {
public:
    /// A dump was asked for under this sequence number; with its end, what it did not list is gone.
    void begin_dump(std::uint32_t sequence);
    /// One datagram as received.  A message that is cut short ends it; what is not about links is
    /// passed over.
    void take(std::span<std::byte const> datagram);
    /// What was received is not all that was sent.
    void lost() noexcept { in_step_ = false; }
    /// False until a dump came to its end undisturbed, and again after lost(): ask for a dump.
    bool in_step() const noexcept { return in_step_ && !dumping_; }

    /// Switched on and with carrier.  nullopt: there is no such interface in our name space.
    std::optional<bool> up(std::uint32_t if_index) const;
    /// Grows with each interface that came, went, got or lost its link.
    std::uint64_t changes() const noexcept { return changes_; }

private:
    struct entry {
        bool up;
        std::uint32_t round; // the last dump since whose begin it was heard of
    };
    void take_link(std::uint16_t type, std::span<std::byte const> body);
    void end_dump();

    std::unordered_map<std::uint32_t, entry> entries_;
    std::uint64_t changes_ = 0;
    std::uint32_t round_ = 0;
    std::uint32_t sequence_ = 0;
    bool dumping_ = false;
    bool torn_ = false; // links changed while it was listed
    bool in_step_ = false;
};

/// The table and the socket that keeps it true.  One thread.
class kernel_links {
public:
    kernel_links() = default;
    ~kernel_links();
    kernel_links(kernel_links const&) = delete;
    kernel_links& operator=(kernel_links const&) = delete;

    /// All links are known on 0.  -errno: none is known, ever.
    int open();
    /// Readable when there is something to drain; -1 without a socket.
    int fd() const noexcept { return fd_; }
    /// Takes in what has arrived.  Never waits; std::bad_alloc leaves a table that is put right by
    /// the next call.
    void drain();

    std::optional<bool> up(std::uint32_t if_index) const { return table_.up(if_index); }
    std::uint64_t changes() const noexcept { return table_.changes(); }

private:
    int ask_for_dump();
    int receive();

    link_table table_;
    std::vector<std::byte> buffer_;
    std::uint32_t sequence_ = 0;
    int fd_ = -1;
};

} // namespace lagg::pmd
