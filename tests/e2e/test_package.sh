#!/usr/bin/env bash
# The Debian package builds, holds what is installed, and names the packages that it needs.
source "$(dirname "$0")/cli_common.sh"

for tool in cpack dpkg-deb dpkg-shlibdeps file; do
    command -v $tool >/dev/null || { echo "skipped: $tool is missing: install cmake, dpkg-dev and file"; exit 77; }
done

cpack -G DEB --config "$1/CPackConfig.cmake" -B "$work" >log 2>&1 || fail "cpack: $(tail -n 5 log)"
package=$(find "$work" -maxdepth 1 -name 'excise_*.deb')
present "$package"
dpkg-deb -c "$package" | awk '{ print $6 }' >files
for file in bin/excise bin/excise-bench bin/excise-get-data bin/excise-plot share/excise/common.sh include/excise.h 'lib[^ ]*/libexcise\.so\.0' \
    'lib[^ ]*/pkgconfig/excise\.pc' 'lib[^ ]*/cmake/excise/excise-config\.cmake' 'share/doc/excise/.*'; do
    grep -qE "^\./usr/$file\$" files || fail "the package lacks $file"
done
dpkg-deb -f "$package" Depends >depends
# The packages of what the program says that it is linked with.
"$1/excise" --version >versions
has depends libc6
while read -r library packages; do
    ! grep -q "^  $library  *[^ -]" versions || grep -qE "(^Depends: |^|, )$packages" depends ||
        fail "Depends has no $packages: $(cat depends)"
done <<'LIBRARIES'
jansson libjansson4
libyaml libyaml-0-2
zlib zlib1g
onednn libdnnl[0-9]
libpng libpng16-16
libjpeg libjpeg[0-9]
openmp libgomp1
LIBRARIES
dpkg-deb -x "$package" unpacked
unpacked/usr/bin/excise --version >out 2>err || fail "the packed program does not run"
has out "excise 0"
if [ -e "$1/libexcise_cuda.so" ]; then # it comes along, and finds its libraries
    grep -qE '^\./usr/lib[^ ]*/libexcise_cuda\.so$' files || fail "the package lacks libexcise_cuda.so"
    grep -qE '^  cuda +[0-9]+\.' out || fail "the packed module is not found: $(grep '^  cuda ' out)"
fi
