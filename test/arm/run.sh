#!/usr/bin/env bash
# The unit tests of grouping frames by flow and of the flow hash, compiled for 64-bit Arm and run
# under QEMU's user-mode emulation: that is where the NEON form, which no other machine compiles, is
# held against the reference.  Says nothing about speed.
#
# usage: test/arm/run.sh [--self-test]
#   --self-test  the NEON form with one constant changed, then another: the tests must see each
#
# Exits 77 with the reason when something that it needs is not installed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
googletest=/usr/src/googletest/googletest
form=lagg/datapath/by_flow_neon.h
by_flow_test=$root/test/unit/lagg_datapath/by_flow_test.cpp
others=("$root"/lib/net/{flow_hash,mac_address}.cpp "$root"/test/unit/net/flow_{hash,key}_test.cpp)

compiler=(aarch64-linux-gnu-g++ -std=c++20 -O2 -fno-rtti -isystem "$googletest/include")
ours=(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -Wno-interference-size
    -I"$root/lib" -I"$root/test")

# Expressions of sed.  Constants that only send more frames one by one would not be seen, and need
# not be: the groups stay right.
faults=(
    "s/0xffff'ffffU})/0x7fff'ffffU})/"  # a bit of the source MAC address
    "s/0xff00'ff3fU/0xff00'ff1fU/"      # first fragments taken for whole packets
    "s/0xa888'0000U/0xa889'0000U/"      # a kind of tag
    "s/flowid >> 32/flowid >> 31/"      # half of the NIC hash's key
)

skip() {
    printf '%s\n' "$1"
    exit 77
}

# Everything but the test of the form.
compile_others() {
    local source
    # -O0: its time is the compiler's
    "${compiler[@]}" -O0 -I"$googletest" -c -o "$work/gtest-all.o" "$googletest/src/gtest-all.cc"
    "${compiler[@]}" -c -o "$work/gtest_main.o" "$googletest/src/gtest_main.cc"
    for source in "$@"; do
        "${compiler[@]}" "${ours[@]}" -c -o "$work/$(basename "$source").o" "$source"
    done
}

# Makes $work/tests; the arguments are for the compiler, before all others.
build() {
    "${compiler[@]}" "$@" "${ours[@]}" -c -o "$work/by_flow_test.o" "$by_flow_test"
    # GoogleTest can send its results somewhere, which a static program cannot: a warning
    "${compiler[@]}" -static -pthread -o "$work/tests" "$work"/*.o 2>"$work/linker" ||
        { cat "$work/linker" >&2; return 1; }
}

finds_faults() {
    local fault missed=0
    mkdir -p "$work/broken/${form%/*}"
    for fault in "${faults[@]}"; do
        sed "$fault" "$root/lib/$form" >"$work/broken/$form"
        if cmp -s "$root/lib/$form" "$work/broken/$form"; then
            printf '%s: changes nothing\n' "$fault"
            missed=1
            continue
        fi
        build -I"$work/broken"
        if qemu-aarch64 "$work/tests" --gtest_filter='*/neon' >"$work/output" 2>&1; then
            printf '%s: not seen\n' "$fault"
            missed=1
        elif ! grep -q '^\[  FAILED  \].*/neon' "$work/output"; then
            cat "$work/output"
            missed=1
        else
            printf '%s: seen\n' "$fault"
        fi
    done
    return $missed
}

command -v "${compiler[0]}" >/dev/null ||
    skip "no ${compiler[0]}: buildtools/bootstrap test installs it"
command -v qemu-aarch64 >/dev/null || skip 'no qemu-aarch64: buildtools/bootstrap test installs it'
[[ -e $googletest/src/gtest-all.cc ]] || skip "no sources of GoogleTest in $googletest"
! command -v ccache >/dev/null || compiler=(ccache "${compiler[@]}")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ ${1:-} == --self-test ]]; then
    compile_others "$root"/lib/net/{flow_hash,mac_address}.cpp
    finds_faults
else
    compile_others "${others[@]}"
    build
    qemu-aarch64 "$work/tests"
fi
