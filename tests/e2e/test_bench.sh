# Benchmarks run, their table and JSON agree, results are right, and bad usage is refused.
source "$(dirname "${BASH_SOURCE[0]}")/cli_common.sh"

"$excise" bench --help >/dev/full 2>err
[ $? -eq 1 ] || fail "a result that cannot be written gave another status"
has err "the result cannot be written to stdout"

small=(--threads 1 --conv direct --json)

# last EXPRESSION: over the object of the last line of out.
last() {
    tail -n 1 out >last.json
    json last.json "$1"
}

# --- every benchmark
succeeds bench step "${small[@]}" --batch 4 --repetitions 3
last 'd["job"] == "step" and d["model"] == "resnet20" and d["batch"] == 4 and d["unit"] == "ms"'
last '0 < d["min"] <= d["median"] <= d["max"] and d["images_per_second"] > 0'
last 'd["repetitions"] == 3 and d["wrong"] == 0 and d["threads"] == 1 and d["conv"] == "direct"'
last 'abs(d["images_per_second"] * d["median"] / 4e3 - 1) < 1e-3'
grep -q '^# device cpu' out || fail "the preamble lacks the device"
grep -q '^#.*median.*#wrong' out || fail "the table lacks its head"
[ "$(grep -vc '^[#{]' out)" -eq 1 ] || fail "the table has not one row"

succeeds bench eval "${small[@]}" --batch=3 --repetitions 2 --shape fashion
last 'd["job"] == "eval" and d["shape"] == "1x28x28" and d["median"] > 0 and d["wrong"] == 0'
succeeds bench eval "${small[@]}" --batch 3 --repetitions 1 --shape 1x28x28
last 'd["shape"] == "1x28x28"'
refuses 2 "one of cifar, fashion, 3x32x32, 1x28x28 is expected" bench eval --shape 28x28

for norm in train frozen; do
    succeeds bench masked "${small[@]}" --batch 4 --repetitions 2 --delta 0.1 --bn $norm
    last "d['job'] == 'masked' and d['bn'] == '$norm' and d['delta'] == 0.1 and d['wrong'] == 0"
    last 'd["full"] > 0 and abs(d["ratio"] * d["full"] / d["median"] - 1) < 1e-3'
done

# What it could cost: the paper's estimate, and the floor, here counted by hand for a model of two layers
# from the end, whose last one alone passes a gradient on.
cat >floor.py <<'PY'
import json, sys
d = json.load(open(sys.argv[1]))
delta, last = d["delta"], d["last_layers"]
conv = [32 * 32 * 9 * 3 * 16] + 6 * [32 * 32 * 9 * 16 * 16] + [16 * 16 * 9 * 16 * 32] + 5 * [16 * 16 * 9 * 32 * 32]
flop = conv + [8 * 8 * 9 * 32 * 64] + 5 * [8 * 8 * 9 * 64 * 64] + [64 * 10]
assert len(flop) == 20
floor = (2 + delta) / 3
if 0 < last < 20:  # a block's second convolution reads its first one, and no other layer lies beside it
    passed = sum(flop[20 - last + 1:])
    floor = (sum(flop) + passed + delta * sum(flop[20 - last:])) / (3 * sum(flop))
assert abs(d["floor"] - floor) < 1e-5 * floor, (d["floor"], floor)
assert abs(d["paper"] - (1 + 5 * delta) / 6) < 1e-5, d["paper"]
PY
for last in 0 1 2 7 19 20 1000; do
    succeeds bench masked "${small[@]}" --batch 2 --repetitions 1 --delta 0.25 --last-layers $last
    last "d['last_layers'] == $last and d['wrong'] == 0"
    python3 floor.py last.json || fail "another floor of the last $last layers"
done
has out "# the paper's estimate 0.375 of a full step, the floor of exact gradients 0.750"

for strategy in batched streams; do
    succeeds bench ablate "${small[@]}" --probe 4 --lanes 2 --repetitions 1 --strategy $strategy
    [ ! -s err ] || fail "ablate warned of a model that is there to be timed"
    last "d['job'] == 'ablate' and d['strategy'] == '$strategy' and d['unit'] == 's'"
    last 'd["lanes"] == 2 and d["probe"] == 4 and d["median"] > 0 and d["wrong"] == 0'
    last 'abs(d["images_per_second"] * d["median"] / (4 * d["channels"]) - 1) < 1e-3'
done

# The same values are selected in float32 as in float32.
succeeds bench ablate "${small[@]}" --probe 4 --repetitions 1 --selection --delta 0.1
last 'd["selection"]["share"] == 1 and d["selection"]["both"] == d["selection"]["selected"] and d["selection"]["delta"] == 0.1'
last 'd["selection"]["selected"] == 4 * (7 * 2 + 6 * 3 + 6 * 6 + 1)'
has out "float32 selects"
succeeds bench ablate "${small[@]}" --probe 4 --repetitions 1
last '"selection" not in d and d["memory"] == 0'

# Plans that fit into so much memory, and into too little.
succeeds bench ablate "${small[@]}" --probe 64 --repetitions 1 --memory 24M
last 'd["memory"] == 24 << 20 and d["wrong"] == 0'
refuses 1 "--memory" bench eval "${small[@]}" --batch 64 --memory 1M

succeeds bench kernels "${small[@]}" --threads 2 --batch 3 --repetitions 2
last 'd["job"] == "kernels" and d["unit"] == "us" and d["wrong"] == 0'
last 'not {"batch_gather", "convert to bf16", "softmax_xent", "norm_train_fwd", "norm_train_bwd", "norm_fold",
    "norm_fold_bwd", "add_relu_fwd", "add_relu_bwd", "shortcut_a_fwd", "shortcut_a_bwd", "maxpool_fwd 2x2",
    "maxpool_bwd 2x2", "avgpool_fwd 2x2", "avgpool_bwd 2x2", "flatten_fwd", "flatten_bwd", "conv_rows_bwd",
    "channel_ablate x4", "conv_channel x4", "segments_pack", "segments_unpack", "sgd_segments",
    "accumulate_fixed"} - {k["name"] for k in d["kernels"]}'
# Bytes of a map of 3 x 16 x 32 x 32 float32, of the model's values, and of 3 rows of 10 logits.
last '(lambda b: b["flatten_fwd"] == 2 * 4 * 49152 and b["channel_ablate x4"] == 5 * 4 * 49152
    and b["sgd_segments"] == 5 * 4 * 269722 and b["softmax_xent"] == 3 * (2 * 4 * 10 + 10)
    and b["conv_rows_bwd"] == 4 * (49152 + 3072 + 9 * 16))({k["name"]: k["bytes"] for k in d["kernels"]})'
cp last.json kernels.json
last 'all(0 < k["min"] <= k["median"] <= k["max"] and k["bytes"] > 0 for k in d["kernels"])'
[ "$(grep -c '^ [a-z]' out)" -eq "$(grep -o '"gb_per_second"' out | wc -l)" ] || fail "rows are missing"

for use in train evaluate masked; do
    succeeds bench roofline "${small[@]}" --batch 4 --repetitions 2 --use $use
    last "d['job'] == 'roofline' and d['use'] == '$use' and d['wrong'] == 0"
    last '0 < d["peak_gflop_per_second"] < 1e4 and 0 < d["peak_gb_per_second"] < 1e4'
    # The parts and what is outside of them are the step.
    last '(lambda p: sum(r["ms"] for r in p[:-2]) <= p[-1]["ms"] * (1 + 1e-5)
        and abs(sum(r["ms"] for r in p[:-1]) / p[-1]["ms"] - 1) < 1e-4)(d["roofline"])'
    last 'd["peak_precision"] == "fp32" and d["peak_bf16_gflop_per_second"] is None'
    last 'all(r["ms"] > 0 and abs(r["gflop_per_second"] * r["ms"] * 1e6 - r["flop"]) <= 1e-4 * r["flop"]
        and abs(r["gb_per_second"] * r["ms"] * 1e6 - r["bytes"]) <= 1e-4 * r["bytes"] for r in d["roofline"])'
    # A forward pass of resnet20 on 3x32x32 is 81.1 MFLOP an image (He et al.: 41 M multiply-adds).
    last 'abs(d["forward_flop"] / 4 - 81.1e6) < 0.1e6'
    last 'abs(sum(r["flop"] for r in d["roofline"] if " forward" in r["name"]) / d["forward_flop"] - 1) < 1e-4'
done
# Gradients of the filters cost as much; of the input too, but the images want none.
succeeds bench roofline "${small[@]}" --batch 4 --repetitions 1
last 'abs(sum(r["flop"] for r in d["roofline"] if "backward weights" in r["name"]) / d["forward_flop"] - 1) < 1e-4'
last 'abs(sum(r["flop"] for r in d["roofline"] if "backward data" in r["name"])
    + 4 * 2 * 32 * 32 * 9 * 3 * 16 - d["forward_flop"]) < 1e-4 * d["forward_flop"]'
last 'all(any(r["name"].startswith(w) for r in d["roofline"]) for w in ("gather", "norm forward", "norm backward", "pool", "sgd"))'

# A masked step computes the gradients of few filters, and of no value of what it leaves alone.
succeeds bench roofline "${small[@]}" --batch 4 --repetitions 1 --use masked --bn frozen --last-layers 2
last 'd["delta"] == 0.05 and d["bn"] == "frozen" and d["last_layers"] == 2'
last '(lambda names: any(n.startswith("conv backward rows") for n in names)
    and not any(n.startswith(("norm forward", "norm backward")) for n in names)
    and {n.split(", ")[1] for n in names if "backward" in n} == {"layer3.block_2.conv_bn2.conv", "linear", "node 22"})([r["name"] for r in d["roofline"]])'

succeeds bench clients "${small[@]}" --batch 4 --samples 6 --repetitions 2
last 'd["job"] == "clients" and d["samples"] == 6 and d["batch"] == 4 and d["wrong"] == 0'
last 'd["median"] > 0 and d["compute"] > 0 and abs(d["ratio"] * d["compute"] / d["median"] - 1) < 1e-3'

# --- bf16, where the processor has it
if "$excise" devices | grep -q AVX-512; then
    for job in "step --batch 4" "masked --batch 4" "masked --batch 4 --bn frozen" "ablate --probe 8 --selection"; do
        # shellcheck disable=SC2086
        succeeds bench $job "${small[@]}" --repetitions 1 --precision bf16
        last 'd["precision"] == "bf16" and d["wrong"] == 0'
    done
    last '0.5 < d["selection"]["share"] <= 1 and d["selection"]["selected"] == 8 * (7 * 1 + 6 * 2 + 6 * 3 + 1)'
    # Maps take half the bytes, vectors and logits as many.
    succeeds bench kernels "${small[@]}" --threads 2 --batch 3 --repetitions 2 --precision bf16
    last 'd["precision"] == "bf16" and d["wrong"] == 0'
    python3 - <<'PY' || fail "bytes of bf16 maps"
import json
f, b = ({k["name"]: k["bytes"] for k in json.load(open(name))["kernels"]} for name in ("kernels.json", "last.json"))
assert all(b[k] * 2 == f[k] for k in f if k.startswith(("norm_train", "add_", "shortcut", "flatten", "channel", "avgpool")))
assert all(b[k] == f[k] for k in f if k.startswith(("seg", "sgd", "accum", "soft", "norm_fold", "convert")))
PY
    succeeds bench roofline "${small[@]}" --batch 4 --repetitions 1 --precision bf16
    last 'd["wrong"] == 0 and d["peak_precision"] == ("bf16" if d["peak_bf16_gflop_per_second"] else "fp32")'
    last '(lambda peak: all(abs(r["percent_of_peak"] * peak - 100 * r["gflop_per_second"]) < 1e-3 * peak
        for r in d["roofline"]))(d["peak_bf16_gflop_per_second"] or d["peak_gflop_per_second"])'
    has out "# the column peak is of "
    ! grep -q avx512_bf16 /proc/cpuinfo || last 'd["peak_bf16_gflop_per_second"] > 0'
fi

# --- without --json there is the table alone
succeeds bench eval --threads 1 --conv direct --batch 2 --repetitions 1
! grep -q '{' out || fail "JSON that nobody asked for"

# --- help lists what is accepted
succeeds bench --help
for word in step eval masked ablate kernels roofline clients --use --samples --delta --selection --memory --bn --last-layers --model --shape --batch --threads --lanes --probe --strategy --conv \
    --repetitions --json; do
    has out " $word "
done
succeeds bench step --help
has out "--repetitions"

# --- bad usage
refuses 2 "one of auto, cpu, cuda, cuda:N" bench step --device gpu
refuses 2 "cuda" bench step --device cuda:71
refuses 2 "step, eval, masked, ablate" bench
refuses 2 "step, eval, masked, ablate" bench stride
for delta in 0 1.5 nan 0.1x; do
    refuses 2 "at most 1" bench masked --delta $delta
done
refuses 2 "--repetitions" bench step --repeat 3
refuses 2 "one of resnet20, " bench step --model alexnet
refuses 2 "cifar, fashion" bench eval --shape imagenet
refuses 2 "naive, streams, batched" bench ablate --strategy fast
refuses 2 "512M" bench step --memory lots
refuses 2 "512M" bench step --memory -1
refuses 2 "1 to" bench step --batch 0
refuses 2 "1 to" bench step --batch 12x
refuses 2 "train, evaluate, masked" bench roofline --use infer
refuses 2 "needs a value" bench step --batch
refuses 2 "takes no value" bench step --json=yes
