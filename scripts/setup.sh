#!/usr/bin/env bash
# Installs what building, testing and the main job need, on Debian 12 or Ubuntu 24.04, and nothing
# that is there already.
#
#   scripts/setup.sh            compiler, CMake, libraries, the Fashion-MNIST package where it exists
#   scripts/setup.sh --peers    also PyTorch (CPU) for golden files, interoperation tests and peers,
#                               and what --plots brings
#   scripts/setup.sh --plots    also matplotlib, for scripts/plot_run.py
#   scripts/setup.sh --mpi      also Open MPI, for several processes that share a run
#   scripts/setup.sh --fuzz     also clang with libFuzzer, for tests/fuzz
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

need=(gcc libc6-dev cmake ninja-build pkg-config
    libdnnl-dev librandom123-dev libjansson-dev libyaml-dev zlib1g-dev libpng-dev libjpeg-dev libcmocka-dev
    python3 python3-numpy ca-certificates curl)
wish=(dataset-fashion-mnist) # Debian has it, Ubuntu may not: get_data.sh downloads it then
for argument in "$@"; do
    case $argument in
    --peers) need+=(python3-torch python3-matplotlib) ;;
    --plots) need+=(python3-matplotlib) ;;
    --mpi) need+=(libopenmpi-dev openmpi-bin) ;;
    --fuzz) need+=(clang libclang-rt-dev libomp-dev) ;;
    -h | --help) print_usage ;;
    *) die "unknown option $argument; one of --peers, --plots, --mpi, --fuzz, --help" ;;
    esac
done

command -v apt-get >/dev/null ||
    die "this script knows Debian and Ubuntu; elsewhere install the equivalents of: ${need[*]}"

is_installed() {
    dpkg-query -W -f='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

wanted=()
for package in "${need[@]}" "${wish[@]}"; do
    is_installed "$package" || wanted+=("$package")
done
if [ "${#wanted[@]}" -eq 0 ]; then
    say "everything is installed"
    exit 0
fi

say "refreshing the package lists"
as_root apt-get update -qq
install=()
for package in "${wanted[@]}"; do
    if [ "$package" = gcc ] && command -v cc >/dev/null; then
        continue # any C11 compiler will do
    fi
    if [[ " ${wish[*]} " = *" $package "* ]] && ! apt-cache show "$package" >/dev/null 2>&1; then
        say "$package is not packaged here: skipped"
        continue
    fi
    install+=("$package")
done
[ "${#install[@]}" -gt 0 ] || exit 0
say "installing ${install[*]}"
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${install[@]}" >&2
