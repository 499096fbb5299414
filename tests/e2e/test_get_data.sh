#!/usr/bin/env bash
# scripts/get_data.sh against a server of its own (curl is a stand-in that copies, and goes on as curl
# does): an interrupted download and an interrupted unpacking are made good, and nothing but the right
# content is taken.
source "$(dirname "$0")/cli_common.sh"
script=$tests/../../scripts/get_data.sh

# The archive: files of the right sizes, of zeros. md5sum knows it as the authors'; whatever else has
# its own sum.
mkdir -p archive/cifar-10-batches-bin stubs served
for name in data_batch_{1..5} test_batch; do
    truncate -s 30730000 archive/cifar-10-batches-bin/$name.bin
done
head -c 4000 /dev/urandom >archive/cifar-10-batches-bin/batches.meta.txt # so that the archive is not tiny
tar -cSzf served/cifar-10-binary.tar.gz -C archive cifar-10-batches-bin || fail "no archive"
sum=$(md5sum <served/cifar-10-binary.tar.gz | cut -d' ' -f1)
real=$(command -v md5sum)
cat >stubs/md5sum <<SH
#!/bin/sh
"$real" "\$@" | sed 's/^$sum/c32a1d4ab5d03f1284b67883e8d87530/'
SH
cat >stubs/curl <<SH
#!/bin/bash
# --continue-at - --output FILE URL: what FILE lacks. DEAD: ends after 100 bytes. PLAIN: knows no
# ranges. The statuses and codes are curl's.
while [ \$# -gt 1 ]; do
    [ "\$1" != --output ] || out=\$2
    shift
done
from="$work/served/\${1##*/}"
have=\$(stat -c %s "\$out" 2>/dev/null || echo 0)
all=\$(stat -c %s "\$from")
echo "\$1 from \$have" >>"$work/asked"
if [ "\$have" -gt 0 ] && [ -n "\$PLAIN" ]; then
    printf 200
    exit 33
fi
if [ "\$have" -ge "\$all" ]; then
    printf 416
    exit 22
fi
tail -c +\$((have + 1)) "\$from" | head -c "\${DEAD:-\$all}" >>"\$out"
printf 206
[ -z "\$DEAD" ] || exit 18
SH
printf '#!/bin/sh\n' >stubs/sleep # nobody waits for a server that is not there
chmod +x stubs/*

# get FOLDER: the output goes to the files out and err, the requests to asked.
get() {
    : >asked
    PATH=$work/stubs:$PATH bash "$script" cifar10 "$1" >out 2>err
}

complete() {
    local name
    for name in data_batch_{1..5} test_batch; do
        [ "$(stat -c %s "$1/$name.bin")" -eq 30730000 ] || fail "$1/$name.bin is not whole"
    done
    absent "$1/unpacking" "$1/cifar-10-binary.tar.gz.part"
}

get whole || fail "cifar10 is not fetched"
complete whole
get whole || fail "cifar10 is not found again"
[ ! -s asked ] || fail "a complete data set is asked for again"

# --- a download that breaks off goes on, and tries no more than five times
DEAD=100 get broken && fail "a download that always breaks off succeeds"
has err "cannot download https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz; fetch it by hand"
[ "$(tail -n 1 asked | sed 's/.* //')" = 400 ] || fail "the fifth try did not go on after the fourth"
get broken || fail "a broken download is not taken up"
has asked "from 500"
complete broken
# --- ... anew where the server cannot go on
mkdir plain
head -c 100 served/cifar-10-binary.tar.gz >plain/cifar-10-binary.tar.gz.part
PLAIN=1 get plain || fail "a server without ranges is given up"
complete plain
# --- all of it had come, and nobody moved it
mkdir late
cp served/cifar-10-binary.tar.gz late/cifar-10-binary.tar.gz.part
get late || fail "a complete .part is not taken"
[ "$(wc -l <asked)" -eq 1 ] || fail "a complete .part was asked for more than once"
complete late
# --- ... of something else: said, and gone, so that the next call gets the right one
mkdir wrong
head -c "$(stat -c %s served/cifar-10-binary.tar.gz)" /dev/zero >wrong/cifar-10-binary.tar.gz.part
get wrong && fail "a wrong archive is taken"
has err "had another content than expected"
absent wrong/cifar-10-binary.tar.gz{,.part} wrong/test_batch.bin
get wrong || fail "not recovered from a wrong archive"
complete wrong

# --- unpacking that was interrupted: a file is missing, one is short, a folder is left over
rm whole/data_batch_4.bin
truncate -s 1000 whole/data_batch_5.bin
mkdir whole/unpacking
echo old >whole/unpacking/odd.bin
get whole || fail "a half unpacked data set is not completed"
[ ! -s asked ] || fail "an archive that is there is fetched again"
complete whole
absent whole/odd.bin
