#include "lagg_errno.h"

#include <cerrno>

namespace lagg::pmd {

int to_errno(errc e) noexcept {
    switch (e) {
    case errc::ok: return 0;
    case errc::invalid_argument: return -EINVAL;
    case errc::unknown_key: return -EINVAL;
    case errc::not_available: return -ENOTSUP;
    case errc::not_found: return -ENOENT;
    case errc::already_member: return -EEXIST;
    case errc::owned_elsewhere: return -EBUSY;
    case errc::nested_lagg: return -ELOOP;
    case errc::too_many: return -ENOSPC;
    case errc::capability: return -EINVAL;
    case errc::queue_count: return -EINVAL;
    case errc::mtu: return -EINVAL;
    case errc::busy: return -EBUSY;
    case errc::in_progress: return -EINPROGRESS;
    case errc::would_deadlock: return -EDEADLK;
    case errc::stale: return -ESTALE;
    case errc::out_of_memory: return -ENOMEM;
    case errc::device: return -EIO;
    case errc::not_supported: return -ENOTSUP;
    case errc::removed: return -EIO; // ethdev's own word for a device that is gone
    }
    return -EINVAL;
}

} // namespace lagg::pmd
