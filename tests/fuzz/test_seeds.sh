#!/usr/bin/env bash
# The seeds in corpus/ are those that make_seeds.py writes: none is missing, stale or of nobody.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 "$here/make_seeds.py" "$folder"
if ! diff -rq --exclude='fuzzed-*' --exclude='finding-*' "$folder" "$here/corpus"; then
    echo "error: run python3 tests/fuzz/make_seeds.py tests/fuzz/corpus, and remove what is left over" >&2
    exit 1
fi
