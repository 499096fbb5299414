#!/usr/bin/env bash
# Bad input: exit status 2, one line that says what to do, and no output folder.
examples=$(cd "$(dirname "$0")/../../bench" && pwd)
source "$(dirname "$0")/cli_common.sh"

bad() { # bad YAML WORDS: the tiny configuration with this line added
    { cat tiny.yaml; printf '%s\n' "$1"; } >bad.yaml
    refuses 2 "$2" train -c bad.yaml -o new
    absent new
}
set_to() { # set_to KEY=VALUE WORDS
    refuses 2 "$2" train -c tiny.yaml -s "$1" -o new
    absent new
}

# --- the command line
refuses 2 "a command is expected"
refuses 2 'unknown command "trian"' trian
refuses 2 "unknown option -V; a command is expected, or one of --help" -V
refuses 2 "--nonsense" train --nonsense
refuses 2 "-x" train -x
refuses 2 "--seed" train --seed
# a value that was forgotten does not take the option behind it
refuses 2 "--logits needs a value (FILE), but -q follows, which is an option; if it is meant, write --logits=-q" \
    eval nowhere --logits -q
refuses 2 "but --json follows" eval nowhere --logits --json
refuses 2 "but --seed=3 follows" train -c tiny.yaml -o --seed=3
refuses 2 "but -s follows" train -c -s lr=1 -o new
refuses 2 "nowhere: a run folder" eval nowhere --logits=-q
refuses 2 "nowhere: a run folder" eval nowhere --logits -Q
absent ./-q ./-Q ./--json
refuses 2 "--resume takes no value" train --resume=3
refuses 2 "one argument too many" train what -c tiny.yaml -o new
refuses 2 "a run folder or a model file" eval
refuses 2 "-c EXP.yaml" train -o new
refuses 2 "-o RUN" train -c tiny.yaml
refuses 2 "-o RUN" train --resume --dry-run
refuses 2 "give one" train -c tiny.yaml -o new --resume --overwrite
refuses 2 "given twice" train -c tiny.yaml -c tiny.yaml -o new
refuses 2 "nowhere.yaml" train -c nowhere.yaml -o new
refuses 2 "nowhere: a run folder" eval nowhere
mkdir empty
refuses 2 "no model.safetensors" eval empty
absent new

# --- the configuration
bad 'lerning_rate: 1' 'bad.yaml:13: unknown key "lerning_rate"'
bad 'num_client: 3' 'did you mean "num_clients"?'
bad 'momentum: lots' 'bad.yaml:13: momentum is "lots"; a number from 0, below 1'
bad 'lr: 0.1' 'bad.yaml:13: lr is set twice, first in line 9'
bad 'memory: [1]' 'memory is a list'
bad 'seed: &a 1' 'anchors'
bad ' x: {' 'bad.yaml:13'
: >bad.yaml
refuses 2 "holds no configuration" train -c bad.yaml -o new
set_to rounds=0 "an integer from 1"
set_to lr=nan "a number above 0"
set_to dataset=imagenet "one of mnist"
set_to model=lenet "one of resnet20"
set_to partition.kind=dirichle "one of iid, shard, pathological, dirichlet-client, dirichlet-class"
set_to clients_per_round=9 "clients_per_round is 9, but num_clients is 4"
set_to server.samples=500 "server.samples is 500"
set_to unlearn.class=10 "unlearn.class is 10, but synthetic has the classes 0 to 9"
set_to nonsense "key=value"
# what is too large is told in a unit that fits, with the key that it is due to
ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}allocator_may_return_null=1 TSAN_OPTIONS=${TSAN_OPTIONS:+$TSAN_OPTIONS:}allocator_may_return_null=1 \
    excise train -c tiny.yaml -s train_samples=4294967295 -o new
[ $? -eq 1 ] || fail "terabytes of images were to be had"
has err "synthetic images: 3.3 TB of memory are not to be had; free some, or lower train_samples"
absent new

# --- the examples are read without a complaint of their own
for example in "$examples"/*.yaml; do
    refuses 2 'rounds is "none"' train -c "$example" -s rounds=none -o new
done
absent new

# --- devices
for device in tpu cuda: cuda:x cuda:-1 cuda:1x cudax cpu:0 CPU ""; do # whatever is there
    refuses 2 "device is \"$device\"; one of auto, cpu, cuda, cuda:N" train -c tiny.yaml --device "$device" -o new
done
if "$excise" devices --json | grep -q '"cuda'; then
    "$excise" devices | grep -q '^cuda:0 .*; [0-9]* lanes' ||
        refuses 2 "cuda" train -c tiny.yaml --device cuda -o new
fi
absent new

# --- data
set_to num_clients=1000 "num_clients"
set_to dataset=cifar10 "cifar10" # none in the scratch folder, unless the machine has it
refuses 2 "" train -c tiny.yaml -s dataset=cifar10 -s data_dir="$work/empty" -o new
has err "$work/empty"
mkdir data
head -c 1000 /dev/zero >data/train-images-idx3-ubyte
for name in train-labels-idx1 t10k-images-idx3 t10k-labels-idx1; do
    head -c 1000 /dev/zero >data/$name-ubyte
done
refuses 2 "data/" train -c tiny.yaml -s dataset=mnist -s data_dir="$work/data" -o new
absent new

# --- models
succeeds train -c tiny.yaml -s rounds=1 -o run
excise eval run --memory 1k
[ $? -eq 1 ] || fail "a limit of 1 kB was not noticed"
has err "but memory allows 1.0 kB"
grep -qE 'a plan needs [0-9.]+ [kM]B beside the ' err || fail "sizes without a unit that fits"
refuses 2 "model.safetensors" eval run/model.safetensors -c tiny.yaml -s model=vgg11
cp -r run nan
python3 - nan/model.safetensors <<'PY'
import struct, sys
with open(sys.argv[1], "r+b") as f:
    header = struct.unpack("<Q", f.read(8))[0]
    f.seek(8 + header + 400)
    f.write(struct.pack("<f", float("nan")))
PY
for command in "eval nan" "ablate nan --class 1 -o e.csv" "unlearn nan --class 1 -o new"; do
    # shellcheck disable=SC2086
    refuses 2 "nan/model.safetensors" $command
done
absent new e.csv
cp -r run cut
truncate -s 5000 cut/model.safetensors
refuses 2 "cut/model.safetensors" eval cut
echo hello >cut/model.safetensors
refuses 2 "cut/model.safetensors" eval cut
rm cut/config.yaml
refuses 2 "cut/config.yaml" eval cut

mkfifo pipe
refuses 2 "pipe is no regular file" eval pipe -c tiny.yaml # and does not wait for a writer

# --- requests for a table
refuses 2 '--class is "-1"' ablate run --class -1 -o e.csv
refuses 2 "a file of 0 bytes" ablate run --class 1 -o ''
refuses 2 "a file of 300 bytes" ablate run --class 1 -o "$(printf '%0300d' 0)"
absent e.csv

# --- output that cannot be made
touch file
refuses 2 "cannot be made" train -c tiny.yaml -o /proc/run
refuses 2 "file" train -c tiny.yaml -o file
refuses 2 "" train -c tiny.yaml -o ''

# --- a control character in an argument stays on one line
refuses 2 "?" train -c tiny.yaml -s "$(printf 'a\nb=1')" -o new
refuses 2 "EX_ERR" eval run --class 99 --verbose 2>/dev/null || true

# --- results that nobody takes
"$excise" eval run >&- 2>err
[ $? -eq 1 ] || fail "a closed stdout was not noticed"
has err "cannot be written to stdout"
if [ -w /dev/full ]; then
    "$excise" eval run >/dev/full 2>err
    [ $? -eq 1 ] || fail "a full device was not noticed"
fi
"$excise" train -c tiny.yaml -s rounds=1 -o unread 2>&1 >/dev/null | true # the log's reader goes away
present unread/report.json
