# Shared by the scripts here: where the checkout is, how to say things, how to become root.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${EXCISE_BUILD:-$root/build}

say() {
    printf '==> %s\n' "$*" >&2
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# The comment that opens the calling script, as its --help, under the name that an installation has
# for it (EXCISE_CALLED).
print_usage() {
    local here
    here=scripts/$(basename "$0")
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" | sed "s|$here|${EXCISE_CALLED:-$here}|g"
    exit 0
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "need root for: $* (run it as root, or install sudo)"
    fi
}

# Configures and builds: build_tree FOLDER [cmake options...]
build_tree() {
    local folder=$1 log generator=(-G Ninja)
    shift
    [ ! -f "$folder/CMakeCache.txt" ] || generator=() # whoever made it chose one
    log=$(mktemp)
    say "building in $folder"
    if ! cmake -S "$root" -B "$folder" "${generator[@]}" "$@" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        die "cmake failed (above)"
    fi
    rm -f "$log"
    cmake --build "$folder" >&2
}
