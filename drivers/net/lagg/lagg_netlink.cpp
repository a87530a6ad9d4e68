#include "lagg_netlink.h"

#include <cerrno>
#include <cstring>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

namespace lagg::pmd {

namespace {

/// The kernel's greatest dump datagram.
constexpr std::size_t datagram_bytes = 32'768;
/// In one drain(); under a storm of changes the next one is soon enough.
constexpr int most_dumps = 3;
constexpr int most_datagrams = 4096;

/// The first sizeof(T) bytes, wherever they are aligned.  Precondition: they are there.
template<class T>
T read(std::span<std::byte const> from) {
    T value;
    std::memcpy(&value, from.data(), sizeof value);
    return value;
}

} // namespace

void link_table::begin_dump(std::uint32_t sequence) {
    ++round_;
    sequence_ = sequence;
    dumping_ = true;
    torn_ = false;
    in_step_ = true; // lost() from here on is a loss after the request
}

void link_table::take(std::span<std::byte const> datagram) {
    while (datagram.size() >= sizeof(nlmsghdr)) {
        auto const header = read<nlmsghdr>(datagram);
        if (header.nlmsg_len < sizeof header || header.nlmsg_len > datagram.size()) {
            return;
        }
        bool const of_dump = dumping_ && header.nlmsg_seq == sequence_;
        if (of_dump && (header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) {
            torn_ = true;
        }
        switch (header.nlmsg_type) {
        case RTM_NEWLINK:
        case RTM_DELLINK:
            take_link(header.nlmsg_type,
                      datagram.subspan(sizeof header, header.nlmsg_len - sizeof header));
            break;
        case NLMSG_DONE:
            if (of_dump) {
                end_dump();
            }
            break;
        case NLMSG_ERROR:
            if (of_dump) {
                torn_ = true;
                end_dump();
            }
            break;
        default: break;
        }
        std::size_t const step = NLMSG_ALIGN(header.nlmsg_len);
        if (step >= datagram.size()) {
            return;
        }
        datagram = datagram.subspan(step);
    }
}

void link_table::take_link(std::uint16_t type, std::span<std::byte const> body) {
    if (body.size() < sizeof(ifinfomsg)) {
        return;
    }
    auto const info = read<ifinfomsg>(body);
    // A bridge tells of its ports in link messages too: leaving a bridge is not the end of an
    // interface.
    if (info.ifi_family != AF_UNSPEC || info.ifi_index <= 0) {
        return;
    }
    auto const index = static_cast<std::uint32_t>(info.ifi_index);
    if (type == RTM_DELLINK) {
        changes_ += entries_.erase(index);
        return;
    }
    constexpr unsigned needed = IFF_UP | IFF_RUNNING;
    entry const now{(info.ifi_flags & needed) == needed, round_};
    auto const [at, added] = entries_.try_emplace(index, now);
    changes_ += added || at->second.up != now.up ? 1 : 0;
    at->second = now;
}

void link_table::end_dump() {
    dumping_ = false;
    if (torn_) {
        in_step_ = false;
        return;
    }
    changes_ += std::erase_if(entries_, [this](auto const& e) { return e.second.round != round_; });
}

std::optional<bool> link_table::up(std::uint32_t if_index) const {
    auto const at = entries_.find(if_index);
    return at == entries_.end() ? std::nullopt : std::optional(at->second.up);
}

kernel_links::~kernel_links() {
    if (fd_ >= 0) {
        close(fd_);
    }
}

int kernel_links::open() {
    buffer_.resize(datagram_bytes);
    fd_ = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd_ < 0) {
        return -errno;
    }
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = RTMGRP_LINK;
    int rc =
        bind(fd_, reinterpret_cast<sockaddr const*>(&address), sizeof address) == 0 ? 0 : -errno;
    if (rc == 0) {
        // The kernel goes on with a dump whenever it is read, so that draining is enough to have it
        // all.
        drain();
        rc = table_.in_step() ? 0 : -EIO;
    }
    if (rc != 0) {
        close(fd_);
        fd_ = -1;
        table_ = link_table{};
    }
    return rc;
}

int kernel_links::ask_for_dump() {
    struct {
        nlmsghdr header;
        ifinfomsg body;
    } request{};
    request.header.nlmsg_len = sizeof request;
    request.header.nlmsg_type = RTM_GETLINK;
    request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.header.nlmsg_seq = ++sequence_;
    request.body.ifi_family = AF_UNSPEC;
    table_.begin_dump(sequence_);
    if (send(fd_, &request, sizeof request, 0) < 0) {
        table_.lost();
        return -errno;
    }
    return 0;
}

/// 0: one datagram was taken in; -EAGAIN: there is none.
int kernel_links::receive() {
    sockaddr_nl from{};
    iovec part{buffer_.data(), buffer_.size()};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    ssize_t const n = recvmsg(fd_, &message, 0);
    if (n < 0) {
        if (errno == ENOBUFS) {
            table_.lost();
            return 0;
        }
        return errno == EINTR ? 0 : -errno;
    }
    if (from.nl_pid != 0) { // not from the kernel
        return 0;
    }
    if ((message.msg_flags & MSG_TRUNC) != 0) {
        table_.lost();
    }
    table_.take(std::span(buffer_).first(static_cast<std::size_t>(n)));
    return 0;
}

void kernel_links::drain() {
    if (fd_ < 0) {
        return;
    }
    int dumps = 0;
    int datagrams = 0;
    do {
        while (datagrams++ < most_datagrams && receive() == 0) {
        }
    } while (!table_.in_step() && dumps++ < most_dumps && ask_for_dump() == 0);
}

} // namespace lagg::pmd
