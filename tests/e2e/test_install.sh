#!/usr/bin/env bash
# The installed tree works by itself: its program, and programs of others built against its library by
# pkg-config and by CMake, which give what the program gives.
source "$(dirname "$0")/cli_common.sh"
build=$1

skip() {
    echo "skipped: $1"
    exit 77
}

# cached NAME: what the build was configured with.
cached() {
    sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"
}

cc=$(cached CMAKE_C_COMPILER)
sanitize=$(cached EXCISE_SANITIZE) # a program needs the library's sanitizers
sanitize=${sanitize:+-fsanitize=$sanitize}
command -v cmake pkg-config "$cc" >/dev/null || skip "cmake, pkg-config and $cc are needed"

# Installs, and looks from another place than the one that was configured.
cmake --install "$build" --prefix "$work/first" >log 2>&1 || fail "installing: $(tail -n 3 log)"
mv first usr
excise=$work/usr/bin/excise
library=$(find usr -name 'libexcise.so')
folder=$work/$(dirname "$library")
present usr/bin/excise-bench usr/include/excise.h "$folder"/{pkgconfig/excise.pc,libexcise.so.0}
present "$folder"/cmake/excise/excise-config{,-version}.cmake usr/share/doc/excise/LICENSE
[ "$(find usr/include -type f)" = usr/include/excise.h ] || fail "more than one header is installed"

# --- the program
succeeds --version
for name in commit onednn isa zlib jansson libyaml libpng libjpeg openmp compiler cuda cudnn cublaslt nccl mpi; do
    grep -qE "^  $name +[^ ]" out || fail "--version does not tell $name"
done
if [ -e "$folder/libexcise_mpi.so" ]; then
    grep -qE '^  mpi +.*MPI.*[0-9]\.[0-9]' out || fail "--version does not tell which MPI"
fi
isa=$(sed -n 's/^  isa *//p' out)
excise devices
[ "$isa" = "not there" ] || grep -qF ", $isa, " out || fail "--version and devices tell different instruction sets"
succeeds bench --help
has out "Usage: excise bench"

# --- the scripts that come along, from another folder than the checkout, by a link too
ln -s "$work/usr/bin/excise-get-data" linked
for called in excise-get-data excise-plot; do
    "usr/bin/$called" --help >out 2>err || fail "$called --help"
    has out "$called "
    ! grep -q "scripts/[gp][a-z_]*\.[sp]" out || fail "$called --help names the checkout's script"
done
./linked --help >out 2>err || fail "excise-get-data by a link"
usr/bin/excise-get-data nothing >out 2>err && fail "excise-get-data takes any name"
has err 'expected a data set (fashion-mnist, mnist, cifar10 or cifar100), found "nothing"'
mkdir home fetched # files that are there and right are taken without a network
packaged=/usr/share/datasets/fashion-mnist
if [ -e $packaged/train-images-idx3-ubyte.gz ]; then
    HOME=$work/home EXCISE_DATA='' usr/bin/excise-get-data fashion-mnist >out 2>err || fail "no data in the home folder"
    present home/.cache/excise/fashion-mnist/t10k-labels-idx1-ubyte.gz
    EXCISE_DATA=$work/fetched usr/bin/excise-get-data fashion-mnist >out 2>err || fail "no data in EXCISE_DATA"
    present fetched/fashion-mnist/train-images-idx3-ubyte.gz
fi
present usr/share/excise/examples/demo_fashion_mnist.yaml

# --- the library shows the header's functions and nothing else
nm -D --defined-only "$library" | awk '{ print $3 }' | sort >exported
grep -oE '\bexcise_[a-z_]+\(' usr/include/excise.h | tr -d '(' | sort -u >declared
diff declared exported >/dev/null || fail "exported and declared differ: $(diff declared exported)"
readelf -d "$library" | grep -q 'SONAME.*libexcise\.so\.0' || fail "the soname is not libexcise.so.0"

# --- a program of somebody else's, by pkg-config and by CMake
succeeds train -c tiny.yaml -s rounds=2 -s server.threads=1 -s lanes=2 -o run
cp -r run kept
for candidate in "${PYTHON:-python3}" /usr/bin/python3; do
    "$candidate" -c 'import matplotlib' 2>/dev/null || continue
    mkdir path
    ln -s "$(command -v "$candidate")" path/python3
    PATH=$work/path:$PATH usr/bin/excise-plot run -o plots >out 2>err || fail "excise-plot does not draw a run"
    present plots/rounds.png plots/costs.svg
    break
done
export PKG_CONFIG_PATH=$folder/pkgconfig
flags=$(pkg-config --cflags --libs excise) || fail "pkg-config does not find excise"
for name in forget contract; do
    # shellcheck disable=SC2086
    "$cc" -std=c11 -pthread -Wall -Wextra -Wpedantic -Werror $sanitize -o $name \
        "$tests/outside/$name.c" $flags -Wl,-rpath,"$folder" 2>err || fail "$name.c does not build with pkg-config"
done
cmake -S "$tests/outside" -B by-cmake -DCMAKE_PREFIX_PATH="$work/usr" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_C_FLAGS="$sanitize" >log 2>&1 &&
    cmake --build by-cmake >>log 2>&1 || fail "no build by CMake: $(tail -n 5 log)"
if [ -z "$sanitize" ] && command -v g++ >/dev/null; then
    printf '#include <excise.h>\nint main() { return excise_version() == nullptr; }\n' >plus.cpp
    # shellcheck disable=SC2086
    g++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -o plus plus.cpp $flags -Wl,-rpath,"$folder" &&
        ./plus || fail "excise.h does not serve C++"
fi

# --- it gives what the program gives
succeeds ablate run --class 1 -s server.threads=1 -o effects.csv
succeeds unlearn run --method ce --class 1 -s server.threads=1 -o ce
./forget run - 1 a.safetensors >a.effects 2>err || fail "forget, by pkg-config"
[ ! -s err ] || fail "the library prints"
by-cmake/forget run/model.safetensors tiny.yaml 1 b.safetensors >b.effects 2>err ||
    fail "forget, by CMake"
awk -F, '$1 == 1 { print $2 "," $3 "," $4 }' effects.csv >expected
[ -s expected ] || fail "effects.csv has no rows"
same a.effects expected
same b.effects expected
same a.safetensors ce/model.safetensors
same b.safetensors ce/model.safetensors

# --- errors, interruptions and folders
mkdir stopped locales
host=()
if command -v localedef >/dev/null; then # warns of what a locale has besides
    printf 'LC_NUMERIC\ndecimal_point ","\nthousands_sep "."\ngrouping 3;3\nEND LC_NUMERIC\n' >comma
    localedef --no-archive -c -i comma locales/comma >log 2>&1
    present locales/comma/LC_NUMERIC
    host=(comma)
else
    echo "localedef is missing: not tried in a locale where numbers have a comma"
fi
LOCPATH=$work/locales OMP_NUM_THREADS=5 ./contract run stopped "${host[@]}" \
    >report.json 2>err || fail "the contract is not kept"
same kept.safetensors run/model.safetensors
same report.json forgot/report.json
has forgot/config.yaml "method: head "
same thread-0.safetensors forgot/model.safetensors
same thread-1.safetensors forgot/model.safetensors
python3 "$tests/compare_runs.py" ce numbers || fail "the library writes another run than the program"
same numbers.safetensors ce/model.safetensors
present forgot/model.safetensors stopped/checkpoint/round-0.bin
succeeds unlearn -o stopped --resume
present stopped/model.safetensors
diff -r run kept >/dev/null || fail "the run that was read has changed"
