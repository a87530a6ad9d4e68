// Names of the phases, for status and logs.
#include "lagg/control/member.h"

namespace lagg {

std::string_view to_string(member_phase p) {
    switch (p) {
    case member_phase::joining: return "joining";
    case member_phase::present: return "present";
    case member_phase::leaving: return "leaving";
    case member_phase::releasing: return "releasing";
    }
    return "unknown";
}

} // namespace lagg
