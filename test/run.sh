#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test; the last line counts them.
#
# usage: test/run.sh [--long]              everything
#        test/run.sh [--long] ARGUMENT...  only `meson test ARGUMENT...` on the ordinary build,
#                                          such as: --suite unit, or the name of a test
#   --long  torture runs for LAGG_TORTURE_SECONDS each, 600 unless it is set already; storms have the
#           lengths that requirements name; the model explores its larger bounds.  Unit and pmd keep
#           their usual lengths under ASan and UBSan, which would make hours of them.
#
# Everything is: all suites on a build with the test hooks; rules about the tree and its machine
# code on the build that app/run.sh makes, and that command itself; unit and pmd again under ASan and
# UBSan; the burst torture, driver and all, under TSan; the build with clang; clang-format;
# clang-tidy.  What is no meson test counts as one.  In the end a table of what was explored is in
# .cache/test-logs/reliability.md; doc/reliability.md explains it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=../buildtools/common.sh
source "$root/buildtools/common.sh"

test_arguments=()  # of every meson test
test_launcher=()   # what runs it
packages=(build test)  # groups that buildtools/bootstrap knows
if [[ ${1:-} == --long ]]; then
    shift
    export LAGG_TORTURE_SECONDS=${LAGG_TORTURE_SECONDS:-600}
    export LAGG_MODEL_FULL=1 NET_LAGG_TEST_LONG=1
    test_arguments+=(--timeout-multiplier=0)
    packages+=(long)
fi

logs=$root/.cache/test-logs
results=()  # for test_summary.py, in the order of the stages

# Runs a stage: $1 is its name, the rest a command.  One line, and the output only if it failed.
stage() {
    local name=$1 begin=$SECONDS log=$logs/${1//[^a-z0-9]/-}.log status=0
    shift
    mkdir -p "$logs"
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if [[ $status -eq 0 ]]; then
        printf '%-40s ok      %4d s\n' "$name" $((SECONDS - begin))
    else
        tail -n 300 "$log"
        printf '%-40s FAILED  %4d s\n' "$name" $((SECONDS - begin))
    fi
    return $status
}

# A stage that counts as one test.
counted_stage() {
    if stage "$@"; then results+=(--passed "$1"); else results+=(--failed "$1"); fi
}

# Tests of build directory $2 with further arguments of meson test; they count one by one.
test_stage() {
    local name=$1 dir=$2 outcome=--tests
    shift 2
    rm -f "$dir"/meson-logs/testlog.json
    stage "$name" "${test_launcher[@]}" meson test -C "$dir" --print-errorlogs "$@" || outcome=--tests-failed
    results+=("$outcome" "$name" "$dir/meson-logs/testlog.json")
}

build() {
    local dir=$1
    shift
    # -e does not hold inside a condition, so each step says it.
    configure "$dir" -Ddpdk=enabled "$@" || return 1
    meson compile -C "$dir" --ninja-args=-k0  # every error, not the first
}

# In subshells, for the compiler's sake.  Clang: gcc 12 takes minutes for one test file with UBSan
# and -O2.  -O1, as ASan's manual advises.
build_with_sanitizers() (
    export CC='ccache clang-14' CXX='ccache clang++-14'
    build build-asan --buildtype=debugoptimized -Doptimization=1 -Dtest_hooks=true \
        -Db_sanitize=address,undefined -Db_lundef=false
)

# One program: lib, driver, wire and the threads that torture them.
build_with_thread_sanitizer() (
    export CC='ccache clang-14' CXX='ccache clang++-14'
    configure build-tsan -Ddpdk=enabled --buildtype=debugoptimized -Doptimization=1 \
        -Dtest_hooks=true -Db_sanitize=thread -Db_lundef=false || return 1
    meson compile -C build-tsan burst_torture
)

# For its warnings and for clang-tidy's compile commands; nothing of it is run.
build_with_clang() (
    export CC='ccache clang-14' CXX='ccache clang++-14'
    build build-clang --buildtype=debug -Dtest_hooks=true
)

sources() {
    find lib drivers app bench test -name '*.h' -o -name '*.cpp' -o -name '*.c'
}

check_format() {
    sources | sort | xargs clang-format --dry-run --Werror
}

buildtools/bootstrap "${packages[@]}"

if stage 'build' build build-test --buildtype=release -Dtest_hooks=true; then
    selection=("$@")
    [[ $# -gt 0 ]] || selection=(--no-suite structure)  # on the build without hooks, below
    test_stage 'tests' build-test "${test_arguments[@]}" "${selection[@]}"
else
    results+=(--failed 'build')
fi

if [[ $# -eq 0 ]]; then
    # What users run: no hooks, so the burst's instructions are the ones to be judged.
    counted_stage 'app/run.sh: build and demo' app/run.sh --duration 3
    test_stage 'structure' build --suite structure
    if stage 'build with ASan and UBSan' build_with_sanitizers; then
        # UBSan reports and goes on unless told otherwise.
        test_launcher=(env -u LAGG_TORTURE_SECONDS -u LAGG_MODEL_FULL -u NET_LAGG_TEST_LONG)
        UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 test_stage 'tests with ASan and UBSan' \
            build-asan --suite unit --suite pmd
        test_launcher=()
    else
        results+=(--failed 'build with ASan and UBSan')
    fi
    if stage 'build with TSan' build_with_thread_sanitizer; then
        # What DPDK's and oneTBB's own code does with memory TSan sees only half.
        TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:ignore_noninstrumented_modules=1 test_stage 'torture with TSan' \
            build-tsan "${test_arguments[@]}" burst-torture
    else
        results+=(--failed 'build with TSan')
    fi
    counted_stage 'build with clang' build_with_clang
    counted_stage 'clang-format' check_format
    counted_stage 'clang-tidy' buildtools/tidy.py build-clang "$(nproc)"
fi

if [[ $# -eq 0 ]]; then
    # What doc/reliability.md explains.
    python3 test/torture/report.py "$logs/reliability.md" build-test build-asan build-tsan || true
fi

exec python3 buildtools/test_summary.py "${results[@]}"
