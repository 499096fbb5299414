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

# The same of a model with norms and shortcuts, on images so small that a minute has room for it.
python3 - <<'PY'
import os, random, struct
SIZE, CLASSES = 8, 3
random.seed(5)
os.mkdir("small")
for part, count in ("train", 20), ("t10k", 9):
    labels = bytes(i % CLASSES for i in range(count))
    images = bytes(min(255, 60 * label + random.randrange(90)) for label in labels
                   for _ in range(SIZE * SIZE))
    for name, sizes, values in (("images-idx3", (count, SIZE, SIZE), images),
                                ("labels-idx1", (count,), labels)):
        with open(f"small/{part}-{name}-ubyte", "wb") as file:
            file.write(struct.pack(f">HBB{len(sizes)}I", 0, 8, len(sizes), *sizes) + values)
PY
sed 's/synthetic/mnist\ndata_dir: small/; s/cnn/resnet20/; s/\(train\|test\)_samples: .*/\1_samples: 0/
     s/samples: 20,/samples: 6,/; s/batch_size: 2/batch_size: 4/' tiny.yaml >norms.yaml

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
    succeeds train -c norms.yaml --device $device -o norms-$device
    succeeds train -c tiny.yaml --device $device -o $device
    succeeds eval $device --device $device --json -q
done
near cuda/model.safetensors cpu/model.safetensors
near norms-cuda/model.safetensors norms-cpu/model.safetensors
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
# Frozen norms, folded and trained by their running statistics.
for device in cuda cpu; do
    succeeds ablate norms-cuda --device $device --class 1 -o norms-$device.csv
    counts norms-$device.csv >norms-$device.counts
    succeeds unlearn norms-cuda --device $device --effects norms-$device.csv --method ce --class 1 -s unlearn.bn=frozen -o norms-ce-$device
done
cmp norms-cuda.counts norms-cpu.counts || fail "with norms cuda counts otherwise than the CPU"
near norms-ce-cuda/model.safetensors norms-ce-cpu/model.safetensors
succeeds train -c tiny.yaml --device cuda:0 -s lanes=1 -o one
cmp one/model.safetensors cuda/model.safetensors || fail "one lane gives other bits than two"
succeeds train -c tiny.yaml --device cuda --precision bf16 -o half
succeeds unlearn half --device cuda --method ce --class 1 -o half_ce
has half_ce/report.json '"bf16"'
refuses 2 "there is no cuda:1, only cuda:0" train -c tiny.yaml --device cuda:1 -o none
