#!/usr/bin/env bash
# Fuzzes targets that were built with -DEXCISE_FUZZ=ON (cmake --preset fuzz), two at a time.
#
#   tests/fuzz/run.sh BUILD [SECONDS [NAME...]]
#
# SECONDS for each target (default 20); NAME as in fuzz_NAME.c (default: all). Starts from the
# committed corpus and from what earlier runs kept in BUILD/tests/fuzz/kept/NAME. A finding ends its
# target, lies in BUILD/tests/fuzz/findings and makes this script fail; fix it and commit the input
# as corpus/NAME/finding-WHAT. BUILD/tests/fuzz/fuzz_NAME FILE runs one input.
set -euo pipefail
export EXCISE_CACHE=off

build=${1:?name the build folder} seconds=${2:-20}
shift $(($# < 2 ? $# : 2))
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
targets=$(cd "$build/tests/fuzz" && pwd)
names=("$@")
if [ ${#names[@]} -eq 0 ]; then
    for program in "$targets"/fuzz_*; do
        [ ! -x "$program" ] || names+=("${program##*/fuzz_}")
    done
fi
[ ${#names[@]} -gt 0 ] || { echo "error: $targets holds no targets" >&2 && exit 1; }

fuzz() {
    local name=$1 log dictionary options=()
    for dictionary in "$here/dictionaries/$name.dict" "$targets/$name.dict"; do
        [ ! -e "$dictionary" ] || options+=("-dict=$dictionary")
    done
    mkdir -p "$targets/kept/$name" "$targets/findings"
    log=$targets/findings/$name.log
    # Returning NULL for what cannot be had lets the parsers' own check of it be tested.
    if ASAN_OPTIONS=allocator_may_return_null=1 "$targets/fuzz_$name" \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1500 -max_len=8192 \
        -artifact_prefix="$targets/findings/$name-" "${options[@]}" \
        "$targets/kept/$name" "$here/corpus/$name" >"$log" 2>&1; then
        printf '%-12s %s\n' "$name" "$(sed -n 's/^#\([0-9]*\)[[:space:]]*DONE */\1 runs, /p' "$log")"
        rm "$log"
    else
        printf '%-12s FOUND SOMETHING, see %s\n' "$name" "$log"
        grep -E -A 8 'ERROR: |runtime error|does not hold' "$log" | head -n 40
        return 1
    fi
}
export -f fuzz
export here targets seconds

# shellcheck disable=SC2016 # $1 is the inner shell's
printf '%s\0' "${names[@]}" | xargs -0 -n 1 -P 2 bash -c 'set -euo pipefail; fuzz "$1"' fuzz
