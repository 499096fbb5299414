#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test that this machine can run. Ends with CTest's
# summary. Arguments go to ctest: scripts/test.sh -R golden
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1:-} in -h | --help) print_usage ;; esac
"$root/scripts/setup.sh" --mpi
build_tree "$build" -DEXCISE_TESTS=ON
exec ctest --test-dir "$build" --output-on-failure "$@"
