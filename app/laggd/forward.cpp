#include "forward.h"

#include <algorithm>
#include <cstring>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

namespace laggd {

namespace {

std::vector<unsigned> worker_lcores() {
    std::vector<unsigned> lcores;
    unsigned lcore = 0;
    RTE_LCORE_FOREACH_WORKER(lcore) {
        lcores.push_back(lcore);
    }
    return lcores;
}

// Which of `count` ports the frames of port `index` leave on.
std::size_t partner(std::size_t index, std::size_t count, topology shape) {
    switch (shape) {
    case topology::paired: return (index ^ 1) < count ? index ^ 1 : index;
    case topology::chained: return (index + 1) % count;
    case topology::loop: return index;
    }
    return index;
}

bool crosses(fwd_mode mode) {
    return mode == fwd_mode::io || mode == fwd_mode::mac || mode == fwd_mode::macswap;
}

// Consecutive streams on one lcore, the remainder on the last ones.
std::vector<unsigned> spread(std::size_t streams, std::size_t cores) {
    auto const lcores = worker_lcores();
    cores = std::min({cores, lcores.size(), streams});
    std::vector<unsigned> out;
    for (std::size_t core = 0; core < cores; ++core) {
        std::size_t const share = streams / cores + (core >= cores - streams % cores ? 1 : 0);
        out.insert(out.end(), share, lcores[core]);
    }
    return out;
}

constexpr char const* no_worker =
    "no lcore is left to forward: the main lcore runs the console; give EAL two, as in -l 0,1 or, "
    "on one CPU, --lcores '(0,1)@0'";

} // namespace

unsigned forward::workers() {
    return static_cast<unsigned>(worker_lcores().size());
}

why_not forward::forwarding_ports(std::vector<std::uint16_t>& list) const {
    if (wanted_.portlist.empty()) {
        list = ports_.usable();
        return list.empty() ? "no port can forward: none is started and owned by nobody"
                            : why_not{};
    }
    list = wanted_.portlist;
    for (auto const port : list) {
        if (!port_exists(port)) {
            return strf("port list names port %u, which does not exist",
                        static_cast<unsigned>(port));
        }
        if (auto const owner = port_owner(port); !owner.empty()) {
            return strf("port list names port %s, which belongs to %s", port_text(port).c_str(),
                        owner.c_str());
        }
        if (!ports_.started(port)) {
            return strf("port %s is not started: port start %u first", port_text(port).c_str(),
                        static_cast<unsigned>(port));
        }
    }
    return {};
}

why_not forward::plan(std::vector<stream_place>& places) const {
    std::vector<std::uint16_t> list;
    if (auto refused = forwarding_ports(list); !refused.empty()) {
        return refused;
    }
    if (workers() == 0) {
        return no_worker;
    }
    auto const mode = wanted_.mode;
    if ((crosses(mode) || mode == fwd_mode::icmpecho) && wanted_.txq < wanted_.rxq) {
        return strf("%s needs a tx queue for each rx queue: --rxq is %u, --txq %u", name_of(mode),
                    wanted_.rxq, wanted_.txq);
    }
    unsigned queues = wanted_.rxq;
    if (mode == fwd_mode::txonly) {
        queues = wanted_.txq;
    } else if (mode == fwd_mode::replay) {
        queues = 1; // a capture has one order
    }
    places.clear();
    for (std::size_t i = 0; i < list.size(); ++i) {
        auto const to = crosses(mode) ? list[partner(i, list.size(), wanted_.shape)] : list[i];
        for (unsigned queue = 0; queue < queues; ++queue) {
            wiring where;
            where.rx_port = list[i];
            where.tx_port = to;
            where.rx_queue = where.tx_queue = static_cast<std::uint16_t>(queue);
            where.index = static_cast<std::uint16_t>(places.size());
            where.burst = static_cast<std::uint16_t>(wanted_.burst);
            rte_ether_addr mac{};
            rte_eth_macaddr_get(to, &mac);
            std::memcpy(where.own_mac.data(), mac.addr_bytes, 6);
            auto const peer = wanted_.eth_peer.find(to);
            where.peer_mac = peer != wanted_.eth_peer.end()
                                 ? peer->second
                                 : mac_bytes{0x02, 0, 0, 0, 0, static_cast<std::uint8_t>(to)};
            places.push_back({0, where});
        }
    }
    auto const lcores = spread(places.size(), wanted_.nb_cores);
    for (std::size_t i = 0; i < places.size(); ++i) {
        places[i].lcore = lcores[i];
    }
    return {};
}

std::unique_ptr<packet_loop> forward::make(wiring const& where) const {
    switch (wanted_.mode) {
    case fwd_mode::io: return make_io(where);
    case fwd_mode::mac: return make_mac(where);
    case fwd_mode::macswap: return make_macswap(where);
    case fwd_mode::txonly: return make_txonly(where, wanted_.generator);
    case fwd_mode::rxonly: return make_rxonly(where);
    case fwd_mode::icmpecho: return make_icmpecho(where);
    case fwd_mode::replay:
        return make_replay(where, capture_, wanted_.generator.rate, wanted_.replay.loops);
    }
    return nullptr;
}

why_not forward::load_replay(std::string const& file) {
    if (running_) {
        return "forwarding runs: stop first";
    }
    std::shared_ptr<capture const> loaded;
    if (auto refused = capture::load(file, loaded); !refused.empty()) {
        return refused;
    }
    if (loaded->cut_short() != 0) {
        say("%s: %zu frames that were captured only in part are left out\n", file.c_str(),
            loaded->cut_short());
    }
    capture_ = std::move(loaded);
    wanted_.replay.file = file;
    return {};
}

why_not forward::start() {
    if (running_) {
        return "forwarding runs already";
    }
    std::vector<stream_place> places;
    if (auto refused = plan(places); !refused.empty()) {
        return refused;
    }
    if (wanted_.mode == fwd_mode::replay && capture_ == nullptr) {
        return "replay has no capture file: set replay file FILE, or --replay-file";
    }
    if (wanted_.mode == fwd_mode::txonly) {
        auto const largest =
            *std::max_element(wanted_.generator.sizes.begin(), wanted_.generator.sizes.end());
        if (largest - 4 > wanted_.mbuf_size - RTE_PKTMBUF_HEADROOM) {
            return strf(
                "frames of %u bytes do not fit an mbuf of --mbuf-size %u with %u bytes headroom",
                largest, wanted_.mbuf_size, RTE_PKTMBUF_HEADROOM);
        }
    }
    std::vector<std::unique_ptr<packet_loop>> loops;
    for (auto& place : places) {
        place.where.pool = ports_.pool_for(rte_eth_dev_socket_id(place.where.tx_port));
        if (place.where.pool == nullptr) {
            return "no memory for a pool of mbufs";
        }
        loops.push_back(make(place.where));
    }
    return start_with(std::move(loops), wanted_.nb_cores);
}

why_not forward::start_with(std::vector<std::unique_ptr<packet_loop>> loops, unsigned cores) {
    if (running_) {
        return "forwarding runs already";
    }
    auto const lcores = spread(loops.size(), cores);
    if (lcores.empty()) {
        return no_worker;
    }
    loops_ = std::move(loops);
    work_.clear();
    for (std::size_t i = 0; i < loops_.size(); ++i) {
        if (work_.empty() || work_.back()->lcore != lcores[i]) {
            work_.push_back(std::make_unique<lcore_work>());
            work_.back()->lcore = lcores[i];
            work_.back()->stop = &stop_;
        }
        work_.back()->loops.push_back(loops_[i].get());
    }
    return launch();
}

why_not forward::launch() {
    stop_.store(false, std::memory_order_relaxed); // no lcore runs: the launch below orders it
    running_ = true;
    for (auto const& work : work_) {
        if (int const error = rte_eal_remote_launch(run, work.get(), work->lcore); error != 0) {
            stop();
            return strf("lcore %u: launch: %s", work->lcore, errno_text(error).c_str());
        }
    }
    return {};
}

int forward::run(void* argument) {
    auto const& work = *static_cast<lcore_work*>(argument);
    // A flag that carries no data; joining the lcore orders all that the loops wrote.
    while (!work.stop->load(std::memory_order_relaxed)) {
        for (auto* const loop : work.loops) {
            loop->poll();
        }
    }
    for (auto* const loop : work.loops) {
        loop->finish();
    }
    return 0;
}

void forward::stop() {
    if (!running_) {
        return;
    }
    stop_.store(true, std::memory_order_relaxed); // a flag that carries no data
    for (auto const& work : work_) {
        rte_eal_wait_lcore(work->lcore);
    }
    running_ = false;
}

bool forward::done() const {
    return running_ &&
           std::all_of(loops_.begin(), loops_.end(), [](auto const& loop) { return loop->done(); });
}

bool forward::uses(std::uint16_t port) const {
    return running_ && std::any_of(loops_.begin(), loops_.end(), [&](auto const& loop) {
               return loop->where().rx_port == port || loop->where().tx_port == port;
           });
}

std::vector<forward::placed> forward::loops() const {
    std::vector<placed> out;
    for (auto const& work : work_) {
        for (auto const* const loop : work->loops) {
            out.push_back({work->lcore, loop});
        }
    }
    return out;
}

} // namespace laggd
