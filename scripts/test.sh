#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test that this machine can run, as many at a time
# as it has cores (or as CTEST_PARALLEL_LEVEL says). Ends with CTest's summary. Arguments go to
# ctest: scripts/test.sh -R golden
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1:-} in -h | --help) print_usage ;; esac
"$root/scripts/setup.sh" --mpi
build_tree "$build" -DEXCISE_TESTS=ON
export CTEST_PARALLEL_LEVEL=${CTEST_PARALLEL_LEVEL:-$(nproc)}
exec ctest --test-dir "$build" --output-on-failure "$@"
