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

for strategy in batched streams; do
    succeeds bench ablate "${small[@]}" --probe 4 --lanes 2 --repetitions 1 --strategy $strategy
    [ ! -s err ] || fail "ablate warned of a model that is there to be timed"
    last "d['job'] == 'ablate' and d['strategy'] == '$strategy' and d['unit'] == 's'"
    last 'd["lanes"] == 2 and d["probe"] == 4 and d["median"] > 0 and d["wrong"] == 0'
    last 'abs(d["images_per_second"] * d["median"] / (4 * d["channels"]) - 1) < 1e-3'
done

succeeds bench kernels "${small[@]}" --threads 2 --batch 3 --repetitions 2
last 'd["job"] == "kernels" and d["unit"] == "us" and d["wrong"] == 0 and len(d["kernels"]) > 8'
last 'all(0 < k["min"] <= k["median"] <= k["max"] and k["bytes"] > 0 for k in d["kernels"])'
[ "$(grep -c '^ [a-z]' out)" -eq "$(grep -o '"gb_per_second"' out | wc -l)" ] || fail "rows are missing"

for use in train evaluate; do
    succeeds bench roofline "${small[@]}" --batch 4 --repetitions 2 --use $use
    last "d['job'] == 'roofline' and d['use'] == '$use' and d['wrong'] == 0"
    last '0 < d["peak_gflop_per_second"] < 1e4 and 0 < d["peak_gb_per_second"] < 1e4'
    # The parts and what is outside of them are the step.
    last '(lambda p: sum(r["ms"] for r in p[:-2]) <= p[-1]["ms"] * (1 + 1e-5)
        and abs(sum(r["ms"] for r in p[:-1]) / p[-1]["ms"] - 1) < 1e-4)(d["roofline"])'
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

succeeds bench clients "${small[@]}" --batch 4 --samples 6 --repetitions 2
last 'd["job"] == "clients" and d["samples"] == 6 and d["batch"] == 4 and d["wrong"] == 0'
last 'd["median"] > 0 and d["compute"] > 0 and abs(d["ratio"] * d["compute"] / d["median"] - 1) < 1e-3'

# --- without --json there is the table alone
succeeds bench eval --threads 1 --conv direct --batch 2 --repetitions 1
! grep -q '{' out || fail "JSON that nobody asked for"

# --- help lists what is accepted
succeeds bench --help
for word in step eval masked ablate kernels roofline clients --use --samples --delta --bn --last-layers --model --shape --batch --threads --lanes --probe --strategy --conv \
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
refuses 2 "1 to" bench step --batch 0
refuses 2 "1 to" bench step --batch 12x
refuses 2 "train, evaluate" bench roofline --use infer
refuses 2 "needs a value" bench step --batch
refuses 2 "takes no value" bench step --json=yes
