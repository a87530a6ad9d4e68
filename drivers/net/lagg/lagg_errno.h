// Errors inside -> -errno outside.  The only table of its kind.
#pragma once

#include "base/errc.h"

namespace lagg::pmd {

/// 0 or a negative errno.
int to_errno(errc e) noexcept;

} // namespace lagg::pmd
