#!/usr/bin/env bash
# excise train --dry-run writes nothing, and says the memory, within a tenth, and the traffic that the
# run then takes.
source "$(dirname "$0")/cli_common.sh"

# Sanitizers keep freed memory: the longer a run, the more.
within=0.1
! grep -q __asan_init "$excise" || within=1

# foretold ARGUMENTS...: of this training, unless it is one in bf16 that the processor cannot do.
foretold() {
    if ! excise train -c tiny.yaml "$@" --dry-run --json -o dry; then
        has err "bf16 needs a processor"
        return
    fi
    absent dry
    cp out dry.json
    succeeds train -c tiny.yaml "$@" -o foretold --overwrite
    python3 - dry.json foretold/ledger.json $within <<'PY' || fail "the dry run of $* foretells another run"
import json, sys
dry, wet = (json.load(open(path)) for path in sys.argv[1:3])
train = next(p for p in wet["phases"] if p["name"] == "train")
peak = max(p["peak_memory_bytes"] for p in wet["phases"])
print("peak memory in MB, foretold %.1f and found %.1f" % (dry["peak_memory_bytes"] / 1e6, peak / 1e6))
print("bytes up, foretold %d and sent %d" % (dry["bytes_up"], train["bytes_up"]))
sys.exit(abs(dry["peak_memory_bytes"] / peak - 1) > float(sys.argv[3])
         or dry["bytes_up"] != train["bytes_up"] or dry["bytes_down"] != train["bytes_down"])
PY
}

succeeds train -c tiny.yaml --dry-run
has out "peak memory"
foretold

# --- the paper's models and batch, for a few steps
paper=(-s batch_size=128 -s train_samples=512 -s test_samples=128 -s num_clients=2 -s rounds=1)
foretold "${paper[@]}"
foretold "${paper[@]}" -s model=vgg11

# --- where few of many clients take part in a round, and where they hold unequal numbers of samples,
# each with a last batch, and so a plan, of its own
few=(-s train_samples=44 -s test_samples=20 -s num_clients=2 -s rounds=2 -s batch_size=16)
few+=(-s server.samples=20 -s server.threads=1)
foretold "${few[@]}" -s train_samples=400 -s num_clients=40 -s clients_per_round=2 -s batch_size=4
unequal=("${few[@]}" -s train_samples=1500 -s num_clients=40 -s partition.kind=dirichlet-class)
unequal+=(-s partition.alpha=1 -s batch_size=64 -s lanes=1)
foretold "${unequal[@]}" -s rounds=1
foretold "${unequal[@]}" -s rounds=6 -s clients_per_round=4
succeeds train -c tiny.yaml "${unequal[@]}" -s clients_per_round=4 --dry-run
has out "of 4 clients on"

# --- the other models, on lanes and in bf16
if [ $within = 0.1 ]; then
    foretold "${few[@]}" -s model=cnn -s lanes=1 --precision bf16
    foretold "${few[@]}" -s model=cnn -s lanes=2
    foretold "${few[@]}" -s model=vgg11-head3 -s lanes=1
    foretold "${few[@]}" -s model=resnet18 -s lanes=2 --precision bf16
fi
