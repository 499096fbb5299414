#!/usr/bin/env bash
# A disk that fills up, at many points: exit status 1, a message with the file, the reason and what to
# do; what was complete stays, and with space again the run ends with the bits of an undisturbed one.
# Needs a small file system of its own; where none can be mounted, this is skipped.
if [ -z "${EXCISE_TEST_MOUNTS-}" ]; then
    export EXCISE_TEST_MOUNTS=1
    try='mount -t tmpfs -o size=1m none /mnt'
    unshare -m sh -c "$try" 2>/dev/null && exec unshare -m bash "$0" "$@"
    unshare -Urm sh -c "$try" 2>/dev/null && exec unshare -Urm bash "$0" "$@"
    echo "skipped: no file system can be mounted here (root or user namespaces are needed)"
    exit 77
fi
source "$(dirname "$0")/cli_common.sh"
compare=$tests/compare_runs.py
shrink_jobs "rounds: 3, epochs: 3, probe: 1, stop_forget: -1, relabel: each"
mkdir disk
trap 'cd /; umount -l "$work/disk" 2>/dev/null; rm -rf "$work"' EXIT

succeeds train -c tiny.yaml -o source
for method in ce de head retrain; do
    succeeds unlearn source --method $method --class 1 -o $method
done

# fill EXPECTED SIZE ARGUMENTS...: the job on a disk of that size, then with space enough.
full=0
fill() {
    local expected=$1 size=$2 kept code
    shift 2
    mount -t tmpfs -o "size=$size" none disk || fail "no tmpfs of $size"
    excise "$@" -o disk/run
    code=$?
    [ $code -eq 1 ] || fail "on a disk of $size, excise $* gave $code"
    [ "$(grep -c '^excise: error: ' err)" -eq 1 ] || fail "no single error line"
    has err "disk/run"
    has err "cannot be written: No space left on device; free some space there"
    absent disk/run/report.json
    kept=$(sed -n 's/.*there; \([0-9]*\) complete [a-z]* kept, `excise .* --resume` then goes on$/\1/p' err)
    full=$((full + 1))
    # Still full: the same again, and nothing is lost by trying.
    if [ -n "$kept" ]; then
        excise "$@" -o disk/run --resume && fail "went on on a full disk of $size"
        mount -o remount,size=64m disk
        succeeds "$@" -o disk/run --resume
        grep -qE "going on after (round|epoch) $kept(, the last)?$" err || fail "$kept kept, but not gone on from"
    else
        mount -o remount,size=64m disk
        if ! excise "$@" -o disk/run --resume; then
            has err "start the run without --resume"
            succeeds "$@" -o disk/run
        fi
    fi
    python3 "$compare" "$expected" disk/run || fail "$expected differs after a disk of $size"
    [ -z "$(find disk -name '*.tmp')" ] || fail "temporary files stayed"
    umount disk || umount -l disk
}

for size in 4k 16k 600k 1500k 2500k 3100k; do
    fill source $size train -c tiny.yaml
done
for size in 1500k 2200k 4500k; do
    fill ce $size unlearn source --method ce --class 1
done
fill de 1500k unlearn source --method de --class 1
fill de 2600k unlearn source --method de --class 1

fill head 1500k unlearn source --method head --class 1
fill retrain 2200k unlearn source --method retrain --class 1

# --- one file: on a full disk there is none of it, nor is what was there harmed
# lacks_room SIZE FILE ARGUMENTS...: the command, which names disk/FILE, on a disk that has SIZE free.
lacks_room() {
    local size=$1 file=$2
    shift 2
    mount -t tmpfs -o "size=$((size + 4))k" none disk || fail "no tmpfs of $size k"
    echo earlier >disk/earlier
    refuses 1 "disk/$file cannot be written: No space left on device; free some space there" "$@"
    [ "$(ls -A disk)" = earlier ] || fail "a full disk has $(ls -A disk)"
    has disk/earlier earlier
    mount -o remount,size=64m disk
    succeeds "$@"
    cp "disk/$file" .
    umount disk || umount -l disk
}
lacks_room 16 effects.csv ablate source --class 1 -o disk/effects.csv
[ "$(grep -c '^1,' effects.csv)" -eq 698 ] || fail "not a row a channel"
lacks_room 600 back.safetensors convert source disk/back.safetensors --to pytorch --naming excise
succeeds convert source expected.safetensors --to pytorch --naming excise
same back.safetensors expected.safetensors
lacks_room 0 logits.safetensors eval source --logits disk/logits.safetensors
succeeds eval source --logits expected.logits
same logits.safetensors expected.logits

# --- a disk that cannot be written to at all
mount -t tmpfs -o size=64m none disk
cp -r source disk/run
mount -o remount,ro disk
refuses 2 "Read-only file system" train -c tiny.yaml -o disk/new
refuses 2 "disk/run/checkpoint cannot be written to: Read-only file system" train -o disk/run --resume -s rounds=5
refuses 2 "Read-only file system" unlearn source --method ce --class 1 -o disk/ce
refuses 2 "disk" ablate source --class 1 -o disk/effects.csv
succeeds eval disk/run
diff -r source disk/run >/dev/null || fail "a read-only run has changed"
umount disk || umount -l disk

# --- a checkpoint that cannot be removed is not gone on from by what was to replace it
cp -r source busy
mount --bind source/checkpoint/round-3.bin busy/checkpoint/round-3.bin || fail "no file can be mounted"
refuses 1 "busy/checkpoint/round-3.bin cannot be removed: Device or resource busy" \
    train -c tiny.yaml -o busy --overwrite
umount busy/checkpoint/round-3.bin
echo "$full full disks"
