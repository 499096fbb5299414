#!/usr/bin/env bash
# Norms of training by cuDNN's graphs and by kernels of our own, whichever is faster here, train the
# same model but for roundings.
source "$(dirname "$0")/../e2e/cli_common.sh"

norms_by() { # norms_by library|kernels FROM TO
    python3 - "$@" <<'PY' || fail "no norm in $2"
import json, sys
by, source, target = sys.argv[1:]
found = json.load(open(source))
norms = [k for k in found["algorithms"] if k.startswith("by: ") and "norm_fwd" in k]
found["algorithms"].update({k: by for k in norms})
json.dump(found, open(target, "w"))
sys.exit(not norms)
PY
}
deep=(--device cuda -s server.threads=1 -s lanes=1 -s conv=auto -s num_clients=1 -s train_samples=128
    -s rounds=1 -s lr=0.001)
for precision in fp32 bf16; do
    succeeds train -c tiny.yaml "${deep[@]}" --precision $precision -o timed_$precision
    for by in library kernels; do
        norms_by $by timed_$precision/algorithms.json $by.json
        succeeds train -c tiny.yaml "${deep[@]}" --precision $precision --algorithms $by.json -o $by
    done
    python3 - $precision <<'PY' || fail "$precision: norms by cuDNN train another model than ours"
import math, struct, sys
def read(path):
    raw = open(path, "rb").read()
    size = struct.unpack("<Q", raw[:8])[0]
    return struct.unpack("<%df" % ((len(raw) - 8 - size) // 4), raw[8 + size:])
a, b = read("library/model.safetensors"), read("kernels/model.safetensors")
apart = math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)) / sum(y * y for y in b))
print(sys.argv[1], "distance", apart)
sys.exit(len(a) != len(b) or not apart < (1e-3 if sys.argv[1] == "fp32" else 3e-2))
PY
    rm -r library kernels
done
