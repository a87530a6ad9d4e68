#!/usr/bin/env bash
# Builds both drivers, with gcc and with clang, against a DPDK release that is not the
# distribution's; it must have been configured with -Denable_driver_sdk=true and installed.
#
# usage: buildtools/against_dpdk.sh PKGCONFIG_DIR [COMPILER...]
#        buildtools/against_dpdk.sh --test PKGCONFIG_DIR [COMPILER...]
#   PKGCONFIG_DIR  where its libdpdk.pc is, such as /opt/dpdk/lib/x86_64-linux-gnu/pkgconfig
#   COMPILER       gcc or clang-14; both if none is named
#   --test         also builds and runs the driver tests (test/pmd)
# Build directories: .cache/against/VERSION-COMPILER.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
    printf 'against_dpdk: %s\n' "$1" >&2
    exit 1
}

with_tests=no
if [[ ${1:-} == --test ]]; then
    with_tests=yes
    shift
fi
[[ $# -gt 0 ]] || fail 'usage: against_dpdk.sh [--test] PKGCONFIG_DIR [COMPILER...]'
[[ -e $1/libdpdk.pc ]] || fail "no libdpdk.pc in $1"
PKG_CONFIG_PATH=$(cd "$1" && pwd)
export PKG_CONFIG_PATH
shift
compilers=("$@")
[[ ${#compilers[@]} -gt 0 ]] || compilers=(gcc clang-14)
version=$(pkg-config --modversion libdpdk)
libdir=$(pkg-config --variable=libdir libdpdk)

# Fails unless every DPDK library that $1 loads is of that release: a mixture links well, too.
only_its_libraries() {
    local strangers
    strangers=$(LD_LIBRARY_PATH=$libdir ldd "$1" |
        sed -n 's/.* => \(.*librte_[^ ]*\) .*/\1/p' | grep -v -e "^$libdir/" -e "^$root/" || true)
    [[ -z $strangers ]] || fail "$1 also loads: $strangers"
}

for compiler in "${compilers[@]}"; do
    dir=$root/.cache/against/$version-$compiler
    targets=(rte_net_lagg rte_net_wire)
    rm -rf "$dir"
    mkdir -p "${dir%/*}"
    CC=$compiler
    CXX=${compiler/clang/clang++}
    CXX=${CXX/gcc/g++}
    if command -v ccache >/dev/null; then
        CC="ccache $CC" CXX="ccache $CXX"
    fi
    export CC CXX
    # Unoptimised: releases differ in their declarations, and that shows all the same.
    options=(--buildtype=debug -Ddpdk=enabled)
    [[ $with_tests == no ]] || options+=(-Dtest_hooks=true)
    meson setup "$dir" "$root" "${options[@]}" >"$dir.log" ||
        { tail -n 30 "$dir.log" >&2; fail "DPDK $version, $compiler: not configured"; }
    if [[ $with_tests == yes ]]; then
        readarray -t -O 2 targets < <(meson introspect --tests "$dir" | python3 -c '
import json, os, sys
for test in json.load(sys.stdin):
    if "net_lagg:pmd" in test["suite"]:
        print(os.path.basename(test["cmd"][0]))')
    fi
    meson compile -C "$dir" "${targets[@]}" >"$dir.log" ||
        { grep -A12 -E 'error|FAILED' "$dir.log" >&2; fail "DPDK $version, $compiler: not built"; }
    for driver in lagg wire; do
        only_its_libraries "$dir/drivers/net/$driver/librte_net_$driver.so"
    done
    printf 'DPDK %s, %s: both drivers build\n' "$version" "$compiler"
    if [[ $with_tests == yes ]]; then
        LD_LIBRARY_PATH=$libdir meson test -C "$dir" --no-rebuild --print-errorlogs --suite pmd
    fi
done
