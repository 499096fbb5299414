#!/usr/bin/env bash
# excise eval and excise ablate, on runs and on bare models.
source "$(dirname "$0")/cli_common.sh"

succeeds train -c tiny.yaml -o run

# --- a run, its model file, and the report of training agree
succeeds eval run --json -q
cp out run.json
json run.json 'd["command"] == "eval" and d["train"] is None and d["test"]["count"] == 200'
succeeds eval run/model.safetensors -c tiny.yaml --json -q
cp out bare.json
python3 - run.json bare.json run/report.json <<'PY' || fail "three ways, three accuracies"
import json, sys
a, b, c = (json.load(open(p))["test"] for p in sys.argv[1:])
sys.exit(a != b or a != c)
PY
succeeds eval run --train --class 3
has out "test accuracy"
has out "train accuracy"
has out "class 3 "
succeeds eval run --train --class 3 --json
json out '"forget" in d["train"] and "retain" in d["test"]'
refuses 2 "-c EXP.yaml" eval run/model.safetensors

# --- effects: all classes in one pass hold those of one class; strategies agree
succeeds ablate run --class all -o all.csv
has out "class 9:"
succeeds ablate run --class 2 -o two.csv --json
json out 'd["channels"] == 698 and len(d["classes"]) == 1 and d["classes"][0]["class"] == 2'
[ "$(grep -c '^2,' two.csv)" -eq 698 ] || fail "not a row a channel"
for strategy in batched streams; do # naive takes minutes; unit tests compare it
    succeeds ablate run --class 2 --probe 2 --strategy $strategy -o $strategy.csv
    cut -d, -f1-7 $strategy.csv | grep -v '^#' >$strategy
    has $strategy ",2,"
    same $strategy batched
done

# --- where the table goes
refuses 2 "exists" ablate run --class 2 -o two.csv
succeeds ablate run --class 2 -o two.csv --overwrite
refuses 2 "-o EFFECTS.csv" ablate run --class 2
refuses 2 "does not exist" ablate run --class 2 -o nowhere/two.csv
refuses 2 "is a folder" ablate run --class 2 -o run
absent nowhere
refuses 2 "unlearn.class is 10" ablate run --class 10 -o ten.csv
refuses 2 'unlearn.class is "two"' ablate run --class two -o ten.csv
absent ten.csv

# --- interrupted: no table
"$excise" ablate run --class all --strategy naive -o slow.csv >out 2>err &
pid=$!
sleep 1
kill -INT $pid
wait $pid
code=$?
[ $code -eq 130 ] || fail "an interrupted ablation gave $code"
absent slow.csv
