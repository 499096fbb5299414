#!/usr/bin/env bash
# The README says what the program says: its table of keys is the program's own, and every command
# and method that it lists exists.
set -eu
excise=${1:?the build folder}/excise
readme=$(cd "$(dirname "$0")/../.." && pwd)/README.md

expected=$("$excise" --config-help)
found=$(sed -n '/^<!-- excise --config-help -->$/,/^<!-- end -->$/p' "$readme" | sed '1d;$d')
if [ "$expected" != "$found" ]; then
    echo "README.md: the table of keys differs from \`excise --config-help\`:" >&2
    diff <(printf '%s\n' "$expected") <(printf '%s\n' "$found") >&2 || true
    exit 1
fi

for command in train eval ablate unlearn convert devices bench; do
    grep -q "excise $command" "$readme" || { echo "README.md lacks excise $command" >&2; exit 1; }
done
methods=$(sed -n 's/^| `\([a-z-]*\)` | .*/\1/p' "$readme")
for method in ce de de-random head retrain; do
    grep -qx "$method" <<<"$methods" || { echo "README.md lacks method $method" >&2; exit 1; }
    "$excise" unlearn --help | grep -q "$method" || { echo "no method $method" >&2; exit 1; }
done
