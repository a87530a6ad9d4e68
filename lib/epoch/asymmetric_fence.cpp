// membarrier(2), and the decision to use it.
#include "epoch/asymmetric_fence.h"

#if defined(__linux__)
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace lagg::epoch {

namespace {

#if defined(__linux__)
int call_membarrier(int command) noexcept {
    return static_cast<int>(::syscall(SYS_membarrier, command, 0U, 0));
}
#else
int call_membarrier(int) noexcept {
    return -1;
}
#endif

} // namespace

char const* to_string(fence_kind kind) noexcept {
    return kind == fence_kind::membarrier ? "membarrier" : "real fences";
}

fence_kind choose_fence_with(membarrier_call call) noexcept {
#if defined(__linux__)
    int const offered = call(MEMBARRIER_CMD_QUERY);
    if (offered >= 0 && (offered & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0 &&
        call(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0) {
        return fence_kind::membarrier;
    }
#else
    static_cast<void>(call);
#endif
    return fence_kind::real;
}

fence_kind choose_fence() noexcept {
    static fence_kind const chosen =
        choose_fence_with([](int command) { return call_membarrier(command); });
    return chosen;
}

bool heavy_fence(fence_kind kind) noexcept {
    if (kind == fence_kind::real) {
        std::atomic_thread_fence(std::memory_order_seq_cst); // [announce] <-> light_fence()
        return true;
    }
#if defined(__linux__)
    // [announce] <-> light_fence(): every running thread of the process executes a full fence
    // between our entry and our return; the kernel fences for us on both ends, and for those that
    // do not run.
    return call_membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
#else
    return false;
#endif
}

} // namespace lagg::epoch
