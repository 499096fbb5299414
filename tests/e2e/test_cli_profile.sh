#!/usr/bin/env bash
# --profile tells what took how long, of every layer, and changes no result.
source "$(dirname "$0")/cli_common.sh"
train="-c tiny.yaml -s rounds=1 -s server.threads=1"

# shellcheck disable=SC2086
{
    succeeds train $train -o plain
    succeeds train $train -o profiled --profile=train.csv --json
    json out 'd["command"] == "train"' # the table is not in the way
    same plain/model.safetensors profiled/model.safetensors
    succeeds train $train -o within --profile=within/train.csv --quiet
    grep -q "^time_percent" within/train.csv || fail "no profile in the run's own folder"
    succeeds train $train -o again --profile --quiet
}
has err "Time(%)"
grep -q "Max *First *Name" err || fail "no column of first calls"
grep -q "^First: [0-9]* calls that warmed up" err || fail "first calls are not told"
has err "conv forward, layer3.block_2.conv_bn2.conv"
grep -q "^devices" <("$excise" devices --profile 2>&1) && fail "devices takes --profile"
absent FILE.csv
python3 - train.csv <<'PY' || fail "train.csv is not as it should be: $(head -n 3 train.csv)"
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
names = [r["name"] for r in rows]
assert len(set(names)) == len(names)
for part in ("conv forward, conv_bn.conv", "conv backward weights, layer3.block_0.conv_bn1.conv",
             "linear forward, linear", "gather", "loss", "sgd"):
    assert any(n.startswith(part) for n in names), part
total = [float(r["time_s"]) for r in rows]
assert total == sorted(total, reverse=True)
assert abs(sum(float(r["time_percent"]) for r in rows) - 100) < 0.1
for r in rows:
    assert int(r["calls"]) == 0 or float(r["first_s"]) > 0 and int(r["first_calls"]) > 0, r
    least, mean, most = (float(r[k]) for k in ("minimum_s", "average_s", "maximum_s"))
    assert least <= mean * 1.000001 and mean <= most * 1.000001, r
    assert abs(mean * int(r["calls"]) - float(r["time_s"])) <= 1e-6 * float(r["time_s"]) + 1e-12, r
# 400 samples in batches of 32, less the last of each client's 100: four clients of three steps
sgd = next(r for r in rows if r["name"] == "sgd")
calls = int(sgd["calls"]) + int(sgd["first_calls"])
assert calls % 4 == 0 and calls >= 12 and int(sgd["first_calls"]) >= 1, sgd
PY

for command in "eval plain" "ablate plain --class 1 -o e.csv" \
    "unlearn plain --method head --class 1 -o head"; do
    # shellcheck disable=SC2086
    succeeds $command -s server.threads=1 --profile
    has err "conv forward, layer1.block_0.conv_bn1.conv"
done

# --- a file that cannot be made is told, a run that failed has no table
refuses 2 "rounds" train -c tiny.yaml -s rounds=none -o new --profile
! grep -q "Time(%)" err || fail "a refused run has a profile"
refuses 2 "/nowhere/p.csv: the folder /nowhere does not exist" eval plain --profile=/nowhere/p.csv
refuses 2 "is a folder" train $train -o new --profile=plain
absent new
cp tiny.yaml kept.yaml
refuses 2 "tiny.yaml exists and is no profile" train $train -o new --profile=tiny.yaml
same tiny.yaml kept.yaml
refuses 2 "joined to it: --profile=p.csv" train $train -o new --profile p.csv
succeeds eval plain -s server.threads=1 --profile=train.csv # an earlier one is replaced
excise eval plain -s server.threads=1 --profile=/dev/full
[ $? -eq 1 ] || fail "a profile that cannot be written was not noticed"
has err "/dev/full"

# --- ranges for tools that watch from outside: phases, rounds, clients, each closed by its thread
tool=$1/tests/module/nvtx_tool.so
[ -e "$tool" ] || exit 0
export NVTX_INJECTION64_PATH=$tool RANGES=$work/ranges
succeeds train -c tiny.yaml -s rounds=2 -s lanes=2 -s server.threads=1 -o watched
python3 - ranges <<'PY' || fail "the ranges are not as they should be: $(cat ranges)"
import collections, sys
open_in, seen, within = collections.defaultdict(list), collections.Counter(), set()
for line in open(sys.argv[1]):
    kind, thread, *name = line.rstrip("\n").split(" ", 2)
    if kind == "+":
        within.update((outer, name[0]) for outer in open_in[thread])
        open_in[thread].append(name[0])
        seen[name[0]] += 1
    else:
        open_in[thread].pop()
assert not any(open_in.values()), open_in
assert seen["train"] == 1 and seen["evaluate"] == 2 and seen["round 1"] == seen["round 2"] == 1, seen
assert all(seen[f"client {c}"] == 2 for c in range(4)), seen
assert ("train", "round 1") in within and ("train", "evaluate") in within, within
PY
