#!/usr/bin/env bash
# --precision bf16: training learns as in fp32, and ablation selects the channels that fp32 selects.
source "$(dirname "$0")/cli_common.sh"

if ! excise train -c tiny.yaml --precision bf16 --dry-run --json; then
    has err "bf16 needs a processor with AVX-512"
    echo "skipped: $(tail -n 1 err)"
    exit 77
fi
cp out narrow.json

# --- memory, as measured by a dry run, half of it the program itself; sanitizers keep what is freed
share=0.8
! grep -q __asan_init "$excise" || share=1
succeeds train -c tiny.yaml --dry-run --json
cp out wide.json
[ "$(python3 -c 'import json
a, b = (json.load(open(f))["peak_memory_bytes"] for f in ("narrow.json", "wide.json"))
print(a < '$share' * b)')" = True ] || fail "bf16 takes more than $share of the memory"

# --- training: losses near fp32's, the same bits for any number of lanes
train=(train -c tiny.yaml -s train_samples=800)
succeeds "${train[@]}" -o wide
succeeds "${train[@]}" --precision bf16 --lanes 1 -o narrow
json narrow/report.json 'd["precision"] == "bf16"'
succeeds "${train[@]}" --precision bf16 --lanes 3 -o lanes
same narrow/model.safetensors lanes/model.safetensors
python3 - <<'PY' || fail "the losses of bf16 are not those of fp32"
import json
wide, narrow = ([json.loads(line)["train_loss"] for line in open(run + "/metrics.jsonl")]
                for run in ("wide", "narrow"))
print("losses of rounds:", wide, narrow)
assert wide[-1] < 0.5 * wide[0]
assert all(abs(a - b) < 0.05 * wide[0] for a, b in zip(wide, narrow))
PY

# --- one model ablated in both precisions: what is selected at delta 0.05
for precision in fp32 bf16; do
    succeeds ablate wide --class 3 --probe 64 --precision $precision -o $precision.csv
    succeeds unlearn wide --method ce --class 3 --delta 0.05 -s unlearn.epochs=1 \
        --precision $precision --effects $precision.csv -o by-$precision
done
python3 - <<'PY' || fail "bf16 selects other channels than fp32"
import json
wide, narrow = ({(layer, c) for layer, cs in json.load(open(run + "/mask.json"))["layers"].items()
                 for c in cs} for run in ("by-fp32", "by-bf16"))
print("%d of %d selected channels are the same" % (len(wide & narrow), len(wide)))
assert len(wide & narrow) >= 0.9 * len(wide) > 0
PY
