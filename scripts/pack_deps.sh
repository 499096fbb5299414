#!/usr/bin/env bash
# Packs the small libraries that excise needs (jansson, libyaml, Random123, zlib, cmocka) from this
# machine's Debian or Ubuntu packages into a folder, for a machine that has a GPU and CUDA but
# neither these packages nor a network.
#
#   scripts/pack_deps.sh DIR
#
# There: cmake ... -DEXCISE_DEPS=DIR -DEXCISE_ONEDNN=OFF; or let DIR be deps/ in the checkout, where
# scripts/gpu_check.sh looks. The libraries are shared ones (Debian's static ones do not go into
# shared libraries), so that machine's C library must be about as new as this one's.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1:-} in
-h | --help) print_usage ;;
'' | -*) die "a folder to fill is expected; see scripts/pack_deps.sh --help" ;;
esac
out=$1
packages=(libjansson-dev libyaml-dev zlib1g-dev librandom123-dev libcmocka-dev)
command -v dpkg >/dev/null || die "this script takes files of Debian packages, and finds no dpkg"

# Headers keep the path that they are included by; one in a folder of the machine's kind loses that.
take_headers() {
    local path name
    for path in $(dpkg -L "$1" 2>/dev/null | grep '/include/.*\.h$'); do
        name=$(sed 's#^.*/include/##; s#^[a-z0-9_]*-linux-gnu[a-z0-9]*/##' <<<"$path")
        mkdir -p "$out/include/$(dirname "$name")"
        cp -L "$path" "$out/include/$name"
    done
}

# A library by the name that it is linked by and by the one that it is loaded by.
take_library() {
    local path soname
    path=$(cc -print-file-name="lib$1.so")
    [ -e "$path" ] || die "lib$1.so is missing: run scripts/setup.sh"
    soname=$(objdump -p "$path" | sed -n 's/^ *SONAME *//p')
    cp -L "$path" "$out/lib/$soname"
    cp -L "$path" "$out/lib/lib$1.so"
}

mkdir -p "$out/include" "$out/lib"
for package in "${packages[@]}"; do
    dpkg -L "$package" >/dev/null 2>&1 || die "$package is not installed: run scripts/setup.sh"
    take_headers "$package"
done
for library in jansson yaml z cmocka; do
    take_library $library
done
dpkg-query -W -f='${Package} ${Version}\n' "${packages[@]}" >"$out/VERSIONS"
say "$out holds:" && sed 's/^/    /' "$out/VERSIONS" >&2
