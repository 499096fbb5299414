#!/usr/bin/env bash
# The program on the emulated GPU: train, evaluate, ablate, unlearn by channels and by data; what comes
# out is near what the CPU gives.
source "$(dirname "$0")/../../e2e/cli_common.sh"

cat >tiny.yaml <<'YAML'
dataset: synthetic
model: cnn
train_samples: 48
test_samples: 20
num_clients: 2
rounds: 1
local_epochs: 1
batch_size: 2
lr: 0.02
conv: direct
lanes: 2
augment: {crop: 1, flip: true}
server: {samples: 20, threads: 1}
unlearn: {rounds: 1, epochs: 1, probe: 1}
YAML

# near FILE FILE: the models' parameters differ by rounding alone.
near() {
    python3 - "$1" "$2" <<'PY' || fail "$1 and $2 differ"
import json, struct, sys
def read(path):
    raw = open(path, "rb").read()
    size = struct.unpack("<Q", raw[:8])[0]
    return struct.unpack("<%df" % ((len(raw) - 8 - size) // 4), raw[8 + size:])
a, b = read(sys.argv[1]), read(sys.argv[2])
worst = max(abs(x - y) for x, y in zip(a, b))
print("largest difference", worst)
sys.exit(len(a) != len(b) or not worst < 1e-3)
PY
}

for device in cuda cpu; do
    succeeds train -c tiny.yaml --device $device -o $device
    succeeds eval $device --device $device --json -q
done
near cuda/model.safetensors cpu/model.safetensors
present cuda/algorithms.json
has cuda/algorithms.json '"device"'
# One model: whichever device counts, and by which strategy, every channel has the same count.
counts() { grep -v '^#' "$1" | cut -d, -f1-3,5-7; }
for strategy in batched streams; do
    for device in cuda cpu; do
        succeeds ablate cuda --device $device -s unlearn.strategy=$strategy -s unlearn.probe=3 --class 1 -o $device-$strategy.csv
        counts $device-$strategy.csv >$device-$strategy.counts
        cmp $device-$strategy.counts cuda-batched.counts || fail "$strategy on $device counts otherwise than batched on cuda"
    done
done
[ "$(sed 1d cuda-batched.counts | cut -d, -f4 | sort -u | wc -l)" -gt 1 ] || fail "no channel matters: nothing was compared"
for method in ce de; do
    succeeds unlearn cuda --device cuda --method $method --class 1 -o $method
    present $method/{model.safetensors,report.json,mask.json}
done
succeeds train -c tiny.yaml --device cuda:0 -s lanes=1 -o one
cmp one/model.safetensors cuda/model.safetensors || fail "one lane gives other bits than two"
succeeds train -c tiny.yaml --device cuda --precision bf16 -o half
succeeds unlearn half --device cuda --method ce --class 1 -o half_ce
has half_ce/report.json '"bf16"'
refuses 2 "there is no cuda:1, only cuda:0" train -c tiny.yaml --device cuda:1 -o none
