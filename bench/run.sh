#!/usr/bin/env bash
# Builds and runs every bench, and writes bench/results/<machine>-<commit>.json and, beside it, a
# report in Markdown with its plots as PNG and SVG.
#
# usage: bench/run.sh [--quick] [--only NAME] [--simd BITS]
#   --quick      the cases of the table of ratios and a few more; ends within two minutes; results have
#                its name
#   --only NAME  one bench; results have its name
#   --simd BITS  how wide registers may be: 64 to 512; EAL's own limit is 256
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=../buildtools/common.sh
source "$root/buildtools/common.sh"

quick= only=
while [[ $# -gt 0 ]]; do
    case $1 in
    --quick) quick=1 ;;
    --only) only=$2; shift ;;
    --simd) export LAGG_BENCH_SIMD_BITS=$2; shift ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift
done

# name, and what of it --quick runs
benches=(
    'tx_compare  ^tx/.*/members:(1|4)/burst:(32|64)/(warm|cold)'
    'rx_compare  /members:4/burst:32'
    'pin_cost    .'
    'snapshot_schemes .'
    'flow_hash   /(l34|l234)/(udp4|udp6)/warm'
    'distribute  /members:(4|16)/burst:32'
    'scaling     .'
    'failover_gap /failover$'
    'reconfigure /loadbalance/'
    'grace_period cells:(1|16)/'
)

if [[ -n $only ]]; then
    chosen=()
    for bench in "${benches[@]}"; do [[ ${bench%% *} != "$only" ]] || chosen+=("$bench"); done
    [[ ${#chosen[@]} -gt 0 ]] || { printf 'bench: there is no %s\n' "$only" >&2; exit 2; }
    benches=("${chosen[@]}")
fi

printf 'bench: building\n' >&2
buildtools/bootstrap build bench
configure build --buildtype=release -Ddpdk=enabled >/dev/null
targets=()
for bench in "${benches[@]}"; do targets+=("bench/bench-${bench%% *}"); done
log=$(mktemp)
ninja -C build "${targets[@]}" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }

commit=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
git diff --quiet HEAD 2>/dev/null || commit+=-changed
# "AMD EPYC", and what a guest is told in general, is many processors: family and model say which.
cpuinfo() { sed -n "s/^$1[[:space:]]*: //p" /proc/cpuinfo | head -n 1; }
machine=$(printf '%s-%s-%s' "$(cpuinfo 'model name')" "$(cpuinfo 'cpu family')" "$(cpuinfo model)" |
    tr -cs 'A-Za-z0-9' '-')
name=$(printf '%s-%s' "${machine%-}" "$commit")
[[ -z ${LAGG_BENCH_SIMD_BITS:-} ]] || name+=-simd$LAGG_BENCH_SIMD_BITS
[[ -z $quick ]] || name+=-quick
[[ -z $only ]] || name+=-$only
parts=$(mktemp -d)
mkdir "$parts/table"
trap 'rm -rf "$parts" "$log"' EXIT

# For how long each program may wait for moments in which its core is its own: seconds.
export LAGG_BENCH_PATIENCE=${LAGG_BENCH_PATIENCE:-${quick:+5}}
export LAGG_BENCH_PATIENCE=${LAGG_BENCH_PATIENCE:-120}

# One process is not the next (README.md): the table of ratios is the median of several, which are
# spread over the run.
further=0 wanted=8
[[ -z $quick ]] || wanted=0
# A sixth: they measure as much less.  It may be a fraction, which the shell does not divide.
patience=$(awk 'BEGIN { print ENVIRON["LAGG_BENCH_PATIENCE"] / 6 }')
further_processes() { # as many as are due after $1 of the benches
    while [[ -e $parts/tx_compare.json ]] && ((further * ${#benches[@]} < wanted * $1)); do
        further=$((further + 1))
        LAGG_BENCH_PATIENCE=$patience build/bench/bench-tx_compare \
            --benchmark_format=json --benchmark_repetitions=5 \
            --benchmark_filter='^tx/.*/members:(1|4)/burst:(32|64)/(warm|cold)$' \
            >"$parts/table/$further.json" 2>"$log" || { cat "$log" >&2; exit 1; }
    done
}

number=0
for bench in "${benches[@]}"; do
    read -r program filter <<<"$bench"
    number=$((number + 1))
    printf '\rbench: %2d of %d  %-20s' "$number" "${#benches[@]}" "$program" >&2
    arguments=(--benchmark_format=json)
    [[ -z $quick ]] || arguments+=(--benchmark_filter="$filter" --benchmark_repetitions=5)
    "build/bench/bench-$program" "${arguments[@]}" >"$parts/$program.json" 2>"$log" || {
        printf '\n' >&2
        cat "$log" >&2
        exit 1
    }
    further_processes "$number"
done
printf '\n' >&2
# Debian's matplotlib is for Debian's Python, which need not be the first one.
python=python3
$python -c 'import matplotlib' 2>/dev/null || python=/usr/bin/python3
shopt -s nullglob
"$python" bench/report.py --name "$name" --out bench/results "$parts"/*.json \
    --table "$parts"/table/*.json
