#!/usr/bin/env bash
# A machine without oneDNN and without the packages of small libraries builds excise from a folder
# that scripts/pack_deps.sh filled: everything that can be taken from there is.
source "$(dirname "$0")/cli_common.sh"
root=$(cd "$tests/../.." && pwd)
build=$1

command -v dpkg objdump ninja >/dev/null || { echo "skipped: dpkg, objdump and ninja are needed"; exit 77; }
"$root/scripts/pack_deps.sh" deps >log 2>&1 || { tail -n 1 log; echo "skipped: nothing to pack from"; exit 77; }
present deps/VERSIONS deps/include/{jansson,yaml,zlib,cmocka}.h deps/include/Random123/philox.h

cc=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
cmake -S "$root" -B built -G Ninja -DCMAKE_C_COMPILER="$cc" -DCMAKE_BUILD_TYPE=Debug -DEXCISE_DEPS="$work/deps" \
    -DEXCISE_ONEDNN=OFF -DEXCISE_CUDA=OFF -DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF >log 2>&1 ||
    fail "cmake: $(tail -n 5 log)"
ninja -C built -j2 excise test_status >log 2>&1 || fail "ninja: $(tail -n 5 log)"

for library in jansson yaml z; do
    ldd built/excise | grep -q "lib$library[-.0-9]*so.* => $work/deps/lib/" ||
        fail "lib$library is not the packed one: $(ldd built/excise)"
done
for header in jansson.h yaml.h zlib.h Random123/philox.h cmocka.h; do
    ninja -C built -t deps | grep -q "$work/deps/include/$header" || fail "$header is not the packed one"
    ! ninja -C built -t deps | grep -q "/usr/include/.*$header" || fail "$header is the system's"
done
built/tests/test_status >log 2>&1 || fail "the packed cmocka does not serve: $(tail -n 5 log)"
excise=$work/built/excise
refuses 2 "no CPU back end" train -c tiny.yaml --device cpu -o new
succeeds devices
has out "auto      takes"
