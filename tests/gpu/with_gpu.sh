#!/usr/bin/env bash
# with_gpu.sh EXCISE COMMAND...: runs the command if EXCISE can use a GPU, else tells why not: a skip.
excise=$1
shift
if ! "$excise" devices 2>/dev/null | grep -q '^auto *takes cuda'; then
    echo "skipped: $("$excise" devices 2>/dev/null | grep '^cuda' | head -n 1)"
    exit 77
fi
exec "$@"
