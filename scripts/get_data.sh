#!/usr/bin/env bash
# Fetches a data set into a folder where excise looks for it, and checks it. A part that is already
# there and right is kept; a broken download is resumed.
#
#   scripts/get_data.sh fashion-mnist|mnist|cifar10|cifar100 [OUT]
#
# OUT is by default NAME in the folder that EXCISE_DATA names; without that, in data/ of the checkout,
# or, from an installation, in ~/.cache/excise.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

name=${1:-}
folder=${EXCISE_DATA:-}
if [ -z "$folder" ] && [ -e "$root/CMakeLists.txt" ]; then
    folder=$root/data
fi
out=${2:-${folder:-${HOME:?HOME is not set: name OUT}/.cache/excise}/$name}

# Data set, file, SHA-256 of the unpacked file: it does not matter who compressed it.
idx_sums='
fashion-mnist train-images-idx3-ubyte c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888
fashion-mnist train-labels-idx1-ubyte bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9
fashion-mnist t10k-images-idx3-ubyte 5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b
fashion-mnist t10k-labels-idx1-ubyte 0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34
mnist train-images-idx3-ubyte ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db
mnist train-labels-idx1-ubyte 65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5
mnist t10k-images-idx3-ubyte 0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7
mnist t10k-labels-idx1-ubyte ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2'

# A file of the right name whose unpacked content has the right sum.
idx_is_right() {
    [ -s "$1" ] && [ "$(gzip -dc "$1" 2>/dev/null | sha256sum | cut -d' ' -f1)" = "$2" ]
}

# Downloads $1 to $2, going on where an earlier try stopped. What came of it is the caller's to check.
download() {
    command -v curl >/dev/null || die "curl is missing: install it"
    local try answer code
    for try in 1 2 3 4 5; do
        say "downloading $1 (try $try of 5)"
        code=0
        answer=$(curl --fail --location --silent --show-error --connect-timeout 20 --continue-at - \
            --write-out '%{http_code}' --output "$2.part" "$1") || code=$?
        # 416: no byte is missing behind those that are there; an earlier call ended before the mv.
        if [ $code -eq 0 ] || { [ "$answer" = 416 ] && [ -s "$2.part" ]; }; then
            mv "$2.part" "$2"
            return
        fi
        [ $code -ne 33 ] || rm -f "$2.part" # the server sends whole files only
        sleep $((try * 2))
    done
    die "cannot download $1; fetch it by hand to $2 and run this again"
}

get_idx_file() {
    local url=$1 path=$out/$2.gz packaged=/usr/share/datasets/$name/$2.gz sum=$3
    if idx_is_right "$path" "$sum"; then
        say "$path is there"
        return
    fi
    rm -f "$path"
    if idx_is_right "$packaged" "$sum"; then
        say "$path: taken from $packaged"
        cp "$packaged" "$path.part"
        mv "$path.part" "$path"
        return
    fi
    download "$url" "$path"
    if ! idx_is_right "$path" "$sum"; then
        rm -f "$path"
        die "$url gave another content than expected (SHA-256 $sum unpacked); run this again"
    fi
}

get_idx() {
    local base=$1 set file sum
    while read -r set file sum; do
        [ "$set" != "$name" ] || get_idx_file "$base/$file.gz" "$file" "$sum"
    done <<<"$idx_sums"
}

# Whether all files of a list of NAME:BYTES are in the folder $1, each as long as it should be.
cifar_is_complete() {
    local folder=$1 file
    shift
    for file; do
        [ "$(stat -c %s "$folder/${file%:*}" 2>/dev/null)" = "${file#*:}" ] || return 1
    done
}

# get_cifar ARCHIVE MD5 NAME:BYTES...: the files that excise reads, whose sizes follow from the format.
# The sums are those of the authors' page, https://www.cs.toronto.edu/~kriz/cifar.html
get_cifar() {
    local archive=$out/$1 sum=$2 new=$out/unpacking
    shift 2
    if cifar_is_complete "$out" "$@"; then
        say "$out is complete"
        return
    fi
    [ -s "$archive" ] ||
        download "https://www.cs.toronto.edu/~kriz/${archive##*/}" "$archive"
    if [ "$(md5sum <"$archive" | cut -d' ' -f1)" != "$sum" ]; then
        rm -f "$archive"
        die "$archive had another content than expected (MD5 $sum); run this again"
    fi
    rm -rf "$new"
    mkdir "$new"
    tar -xzf "$archive" -C "$new" --strip-components=1
    cifar_is_complete "$new" "$@" || die "$archive does not hold what is expected: $*"
    mv -f "$new"/* "$out"
    rmdir "$new"
}

case $name in
fashion-mnist)
    mkdir -p "$out"
    get_idx http://fashion-mnist.s3-website.eu-central-1.amazonaws.com
    ;;
mnist)
    mkdir -p "$out"
    get_idx https://ossci-datasets.s3.amazonaws.com/mnist
    ;;
cifar10)
    mkdir -p "$out"
    get_cifar cifar-10-binary.tar.gz c32a1d4ab5d03f1284b67883e8d87530 \
        {data_batch_{1..5},test_batch}.bin:30730000
    ;;
cifar100)
    mkdir -p "$out"
    get_cifar cifar-100-binary.tar.gz 03b5dce01913d631647c71ecec9e9cb8 \
        train.bin:153700000 test.bin:30740000
    ;;
-h | --help) print_usage ;;
*) die "expected a data set (fashion-mnist, mnist, cifar10 or cifar100), found \"$name\"" ;;
esac
say "$name is in $out"
