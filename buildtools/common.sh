# What the two commands share; sourced by app/run.sh and test/run.sh.  Needs $root.

# Configures build directory $1 with the meson options that follow, unless it is so configured.
configure() {
    local dir=$root/$1 options
    shift
    options="${CXX:-} $*"
    if [[ -e $dir/build.ninja && -e $dir/.configured && $(<"$dir/.configured") == "$options" ]]; then
        return 0  # ninja itself reconfigures when a meson.build has changed
    fi
    rm -rf "$dir"
    # -e may not hold where we are called from
    meson setup "$dir" "$root" "$@" || return 1
    printf '%s\n' "$options" >"$dir/.configured"
}
