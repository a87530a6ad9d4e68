#!/usr/bin/env bash
# Installs what is missing, builds laggd and its drivers into build/, and runs it.
#
# usage: app/run.sh [--duration SECONDS] [--json FILE] ...   the demo, with further options
#        app/run.sh ARGUMENT...                              laggd with exactly these arguments
#
# Without arguments, or when the first one begins with --demo, --duration or --json, laggd runs
# --demo: members, traffic and link cuts inside one process, no NIC, hugepages or root needed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=../buildtools/common.sh
source "$root/buildtools/common.sh"
laggd=$root/build/app/laggd/laggd

"$root/buildtools/bootstrap" build

# Output of a build that succeeds is of no interest to whoever wants to see the program.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
printf 'run: building laggd\n' >&2
if ! { configure build --buildtype=release -Ddpdk=enabled &&
    meson compile -C "$root/build" laggd rte_net_lagg rte_net_wire; } >"$log" 2>&1; then
    cat "$log" >&2
    printf 'run: the build failed, see above\n' >&2
    exit 1
fi
if [[ ! -x $laggd ]]; then
    printf 'run: the build ended well but made no %s\n' "$laggd" >&2
    exit 1
fi
rm -f "$log"
trap - EXIT

case ${1:-} in
--demo*) exec "$laggd" "$@" ;;
'' | --duration* | --json*) exec "$laggd" --demo "$@" ;;
*) exec "$laggd" "$@" ;;
esac
