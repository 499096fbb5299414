#!/usr/bin/env bash
# What can go wrong around a run: nobody takes its result, its folder cannot be written to, a file
# shrinks while it is read, memory is short. A clear error each time, and nothing complete is lost.
source "$(dirname "$0")/cli_common.sh"
shrink=$1/faults/shrink.so sync_fails=$1/faults/sync_fails.so
compare=$tests/compare_runs.py
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0
shrink_jobs "rounds: 2, epochs: 2, probe: 1, stop_forget: -1"
succeeds train -c tiny.yaml -o source
succeeds unlearn source --method ce --class 1 -o ce

# --- nobody takes the result: the run is complete all the same, and the exit status tells
# unheard EXPECTED FOLDER: the status is in $code, the log in err.
unheard() {
    [ "$code" -eq 1 ] || fail "an unread result gave $code"
    [ "$(grep -c '^excise: error: the result cannot be written to stdout' err)" -eq 1 ] ||
        fail "no error on stdout"
    python3 "$compare" "$1" "$2" || fail "$2 is not complete"
    rm -r "$2"
}
for how in "" --json; do
    # shellcheck disable=SC2086
    "$excise" train -c tiny.yaml -o unread $how 2>err | head -n 0
    code=${PIPESTATUS[0]}
    unheard source unread
    has err "Broken pipe"
    # shellcheck disable=SC2086
    "$excise" unlearn source --method ce --class 1 -o unread $how >&- 2>err
    code=$?
    unheard ce unread
    # shellcheck disable=SC2086
    "$excise" unlearn source --method ce --class 1 -o unread $how >/dev/full 2>err
    code=$?
    unheard ce unread
    has err "No space left on device"
done
"$excise" train -c tiny.yaml -o unread 2>&1 | head -n 0 # nor the log
[ "${PIPESTATUS[0]}" -eq 1 ] || fail "a closed pipe for all output was not noticed"
python3 "$compare" source unread || fail "a run without a log is not complete"
exec {closed}> >(:)
wait $! # nobody reads it any more
"$excise" --help 2>err >&$closed
[ $? -eq 1 ] || fail "--help into a closed pipe"
exec {closed}>&-

# --- a file where a folder must be
cp -r source odd
rm -r odd/checkpoint
echo mine >odd/checkpoint
cp -r odd before
refuses 2 "odd/checkpoint is there and is no folder" train -c tiny.yaml -o odd --overwrite
rm odd/checkpoint odd/model.safetensors before/checkpoint before/model.safetensors
mkdir odd/model.safetensors before/model.safetensors
refuses 2 "odd/model.safetensors is a folder, where a run has a file" train -c tiny.yaml -o odd --overwrite
diff -r odd before || fail "a refusal has changed what --overwrite names"
refuses 2 "tiny.yaml" train -c tiny.yaml -o tiny.yaml/run

# --- a folder that may not be written to: of root, by another user, who needs a program to reach
unprivileged() {
    "$@"
}
if [ "$(id -u)" -eq 0 ]; then
    unprivileged() {
        setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
    }
fi
mkdir locked reach
cp "$excise" reach/excise
chmod a+rx . reach reach/excise
cp -r source sealed
chmod a-w locked source sealed/checkpoint
chmod a+w sealed source/checkpoint
if ! unprivileged reach/excise --version >out 2>err; then
    echo "not tried here: folders that may not be written to ($(tail -n 1 err))"
else
    unprivileged reach/excise train -c tiny.yaml -o locked/run >out 2>err
    [ $? -eq 2 ] || fail "a locked folder gave another status"
    has err "locked/run cannot be made: Permission denied"
    unprivileged reach/excise train -o source --resume -s rounds=4 >out 2>err
    [ $? -eq 2 ] || fail "a locked run gave another status"
    has err "source cannot be written to: Permission denied"
    for how in "--overwrite -c tiny.yaml -o" "--resume -s rounds=4 -o"; do
        # shellcheck disable=SC2086
        unprivileged reach/excise train $how sealed >out 2>err
        [ $? -eq 2 ] || fail "checkpoints that must stay gave another status, with $how"
    done
    has err "sealed/checkpoint cannot be written to: Permission denied; change its permissions"
    diff -r sealed source || fail "a refusal has changed what --overwrite names"
fi
chmod u+w locked source sealed/checkpoint

# --- a file that may not grow beyond the limit of `ulimit -f`
(ulimit -f 600 && exec "$excise" train -c tiny.yaml -o limited >out 2>err)
[ $? -eq 1 ] || fail "a limit of file sizes gave another status"
has err "cannot be written: File too large; raise \`ulimit -f\`"

# --- a disk that fails where a file or folder is synced: what may not be there after a loss of power is
# not said to be
# unsynced KIND N ARGUMENTS...: the status is in $code, the log in err.
unsynced() {
    local variable=EXCISE_$1_SYNC_FAILS at=$2
    shift 2
    env "$variable=$at" LD_PRELOAD="$sync_fails" "$excise" "$@" >out 2>err
    code=$?
}
# sync_each KIND NAME...: each in turn is not synced; those that excise names are the NAMEs.
sync_each() {
    local kind=$1 at name named=()
    shift
    for ((at = 1; at < 60; at++)); do
        rm -rf unsynced
        unsynced "$kind" $at train -c tiny.yaml -s rounds=1 -o unsynced
        [ $code -ne 0 ] || break
        name=$(sed -nE 's/^excise: error: (folder )?([^ ]*) cannot be (made|written): Input\/output error(;.*)?$/\2/p' err)
        [ -n "$name" ] || fail "the $at-th $kind was not synced, and excise says otherwise"
        named+=("${name#"$work"/}")
        [ -z "$(find unsynced -name '*.tmp' 2>/dev/null)" ] || fail "temporary files stayed without $name"
    done
    [ $code -eq 0 ] || fail "more than $at were synced"
    [ "$(printf '%s\n' "${named[@]}" | sort)" = "$(printf '%s\n' "$@" | sort)" ] || fail "synced are ${named[*]}"
}
runs_files=(config.yaml algorithms.json{,,} checkpoint/round-{0,1}.bin model.safetensors {ledger,report}.json)
# Of the run's folder itself: where it is made, and where metrics.jsonl is.
sync_each FOLDER unsynced unsynced unsynced/checkpoint "${runs_files[@]/#/unsynced/}"
sync_each FILE unsynced/metrics.jsonl "${runs_files[@]/#/unsynced/}"
# ... nor to be gone
unsynced FOLDER 1 train -c tiny.yaml -s rounds=2 -o unsynced --resume
[ $code -eq 1 ] || fail "a finished run that goes on gave $code"
has err "error: unsynced cannot be written: Input/output error"
absent unsynced/report.json
unsynced FOLDER 1 train -c tiny.yaml -s rounds=1 -o unsynced --overwrite
[ $code -eq 1 ] || fail "--overwrite gave $code"
has err "error: unsynced cannot be written: Input/output error"

# --- a file that shrinks after it was opened
shrinks() { # shrinks FILE CODE WORDS ARGUMENTS...
    local file=$1 code=$2 words=$3
    shift 3
    cp "$file" kept
    EXCISE_SHRINK=$work/$file LD_PRELOAD=$shrink "$excise" "$@" >out 2>err
    local found=$?
    [ $found -eq 0 ] || [ "$(stat -c %s "$file")" -lt "$(stat -c %s kept)" ] || fail "$file did not shrink"
    cp kept "$file"
    [ $found -eq "$code" ] || fail "a shrinking $file gave $found"
    has err "$words"
}
shrinks source/model.safetensors 2 "source/model.safetensors cannot be read to its end" eval source
shrinks source/algorithms.json 2 "source/algorithms.json" eval source -s conv=auto
shrinks ce/effects.csv 2 "ce/effects.csv" unlearn source --method ce --class 1 -o new \
    --effects ce/effects.csv
absent new
cp -r source shrunk
shrinks shrunk/checkpoint/round-3.bin 0 "round-3.bin is damaged: its size does not agree" \
    train -o shrunk --resume
has err "going on after round 2"
python3 - <<'PY'
import gzip, os, struct
os.mkdir("idx")
for part, count in (("train", 60), ("t10k", 20)):
    images = struct.pack(">IIII", 0x803, count, 28, 28) + os.urandom(count * 784)
    labels = struct.pack(">II", 0x801, count) + bytes(i % 10 for i in range(count))
    open(f"idx/{part}-images-idx3-ubyte", "wb").write(images)
    gzip.open(f"idx/{part}-labels-idx1-ubyte.gz", "wb").write(labels)
PY
python3 - <<'PY'
import gzip, os
os.mkdir("cifar")
for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin.gz"]:
    records = b"".join(bytes([label]) + os.urandom(3072) for label in range(5))
    (gzip.open if name.endswith("gz") else open)("cifar/" + name, "wb").write(records)
PY
small_pictures pictures
for name in train-images-idx3-ubyte t10k-images-idx3-ubyte train-labels-idx1-ubyte.gz; do
    shrinks idx/$name 2 "idx/$name" \
        train -c tiny.yaml -s dataset=mnist -s data_dir="$work/idx" -o new
done
for name in data_batch_3.bin test_batch.bin.gz; do
    shrinks cifar/$name 2 "cifar/$name" \
        train -c tiny.yaml -s dataset=cifar10 -s data_dir="$work/cifar" -s train_samples=0 -s test_samples=0 -s server.samples=2 -o new
done
for name in ant/1.png bee/2.jpg; do
    shrinks pictures/$name 2 "pictures/$name" \
        train -c tiny.yaml -s dataset=folder -s data_dir="$work/pictures" -s train_samples=0 -s test_samples=0 -s server.samples=2 -o new
done
{ cat tiny.yaml; printf 'partition: {kind: iid,\n#%0999d\nalpha: 1}\n' 0; } >long.yaml
shrinks long.yaml 2 "long.yaml" train -c long.yaml -o new
absent new
succeeds train -c tiny.yaml -s dataset=mnist -s data_dir="$work/idx" -s rounds=1 -o new

# --- no memory: for a large block, ours or a library's, and for a small one of oneDNN's
if grep -q __asan_init "$excise"; then
    echo "not tried in this build, whose sanitizer has malloc: allocations that fail"
    exit 0
fi
# starved AT LEAST FOLDER: training without memory for that allocation; the status is in $code.
starved() {
    EXCISE_OOM_AT=$1 EXCISE_OOM_LEAST=$2 LD_PRELOAD=$no_memory \
        "$excise" train -c tiny.yaml -o "$3" >out 2>err
    code=$?
}
no_memory=$1/faults/no_memory.so
large=65536 errors=0
for ((at = 1; at < 62; at += 10)); do
    starved $at $large starved
    if [ $code -eq 0 ]; then # done without
        python3 "$compare" source starved || fail "a run that did without block $at differs"
        rm -r starved
        continue
    fi
    [ $code -eq 1 ] || fail "without block $at, excise gave $code"
    [ "$(grep -c '^excise: error: ' err)" -eq 1 ] || fail "no single error line"
    grep -qE 'batch_size or lanes|out of memory|no memory' err || fail "no word on memory"
    errors=$((errors + 1))
    if [ -e starved ]; then
        succeeds train -o starved --resume
        python3 "$compare" source starved || fail "a run once starved differs"
        rm -r starved
    fi
done
[ $errors -ge 3 ] || fail "only $errors blocks were missed"
# Reading pictures, without one block of any size: libpng and libjpeg ask for their own.
pictures=(train -c tiny.yaml -s dataset=folder -s data_dir="$work/pictures" -s train_samples=9999 -o pictured)
refuses 2 "train_samples is 9999" "${pictures[@]}"
# misses STEP LEAST ARGUMENTS...: each STEP-th block in turn; LEAST of them at least are missed.
misses() {
    local step=$1 least=$2 missed=0 whole=0 at
    shift 2
    for ((at = 90; at < 1000 && whole < 8; at += step)); do
        EXCISE_OOM_AT=$at LD_PRELOAD=$no_memory "$excise" "$@" >out 2>err
        code=$?
        if [ $code -eq 2 ] && grep -q "train_samples is 9999" err; then
            whole=$((whole + 1)) # that block came later
        else
            [ $code -eq 1 ] && grep -q memory err || fail "excise $* without block $at: $code"
            missed=$((missed + 1))
        fi
    done
    [ $missed -ge "$least" ] || fail "only $missed blocks were missed by excise $*"
}
misses 3 20 "${pictures[@]}"
# The same of IDX and CIFAR files, plain and gzipped: zlib asks for memory when it is read from.
for data in mnist:idx cifar10:cifar; do
    misses 1 20 eval source/model.safetensors -c tiny.yaml -s dataset=${data%:*} \
        -s data_dir="$work/${data#*:}" -s train_samples=9999
done
# oneDNN does not survive every small block; what is complete does.
told=0
for at in 12000 25000 40000; do
    { starved $at 0 starved; } 2>/dev/null
    [ $code -ne 1 ] || ! grep -q '^excise: error: oneDNN ran out of memory' err || told=$((told + 1))
    [ $code -ne 0 ] || fail "allocation $at did not fail"
    if [ -e starved ]; then
        excise train -o starved --resume || succeeds train -c tiny.yaml -o starved
        python3 "$compare" source starved || fail "a run once starved differs"
        rm -r starved
    fi
done
[ $told -ge 2 ] || fail "oneDNN's lack of memory was told $told times of 3"
