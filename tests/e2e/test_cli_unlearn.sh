#!/usr/bin/env bash
# excise unlearn: every method, what it leaves, and that nothing stays when it is stopped.
source "$(dirname "$0")/cli_common.sh"

succeeds train -c tiny.yaml -o run
cp -r run kept
succeeds ablate run --class 1 -o effects.csv

for method in ce de de-random head retrain; do
    succeeds unlearn run --method $method --class 1 -o $method --json
    cp out $method.json
    present $method/{config.yaml,metrics.jsonl,model.safetensors,ledger.json,report.json,algorithms.json}
    json $method.json "d['method'] == '$method' and d['class'] == 1 and d['seed'] == 1"
    json $method.json 'set(d["before"]) == set(d["after"])'
    json $method.json '{"forget_test", "retain_test", "forget_train", "retain_train", "per_class"} <= set(d["after"])'
    json $method.json '{"compute_s", "client_s", "ablation_s", "bytes_up", "bytes_down", "stored_samples", "rounds"} <= set(d["cost"])'
    json $method.json 'd["trace"] and d["cost"]["compute_s"] > 0'
    same $method.json $method/report.json
    has $method/config.yaml "method: $method "
    has $method/config.yaml "class: 1 "
    cmp -s $method/model.safetensors run/model.safetensors && fail "$method changed nothing"
    succeeds eval $method --json -q
    python3 - out $method.json <<'PY' || fail "eval and report of $method differ"
import json, sys
a, b = (json.load(open(p)) for p in sys.argv[1:])
sys.exit(abs(a["test"]["forget"] - b["after"]["forget_test"]) > 1e-12
         or abs(a["test"]["retain"] - b["after"]["retain_test"]) > 1e-12)
PY
done
present ce/{effects.csv,mask.json} de/{effects.csv,mask.json} de-random/mask.json head/mask.json
absent retrain/mask.json head/effects.csv
diff -r run kept >/dev/null || fail "the run that was read has changed"

# --- timed algorithms: two runs may choose differently, one that is given the choices repeats the bits
succeeds unlearn run --method ce --class 1 -s conv=auto -o timed
succeeds unlearn run --method ce --class 1 -s conv=auto --algorithms timed/algorithms.json -o again
same again/model.safetensors timed/model.safetensors
same again/algorithms.json timed/algorithms.json
refuses 2 "nowhere.json" unlearn run --method ce --class 1 --algorithms nowhere.json -o other

# --- effects from a file: the same result as measured on the way
succeeds unlearn run --method ce --class 1 --effects effects.csv -o given
same given/model.safetensors ce/model.safetensors
has out "the class, test"
has out "stored samples"
refuses 2 "" unlearn ce --method ce --class 1 --effects effects.csv -o other # another model's
refuses 2 "does not cover class 2" unlearn run --method ce --class 2 --effects effects.csv -o other
head -n 100 effects.csv >cut.csv
refuses 2 "" unlearn run --method ce --class 1 --effects cut.csv -o other
refuses 2 "nowhere.csv" unlearn run --method ce --class 1 --effects nowhere.csv -o other
absent other

# --- a bare model, and twice the same bits
succeeds unlearn run/model.safetensors -c tiny.yaml --method de --class 1 --delta 0.05 -o bare
same bare/model.safetensors de/model.safetensors

# --- requests that cannot be met
refuses 2 "--class K" unlearn run --method ce -o other
refuses 2 "-o RUN2" unlearn run --method ce --class 1
refuses 2 "unlearn.class is 10" unlearn run --method ce --class 10 -o other

# --- what --overwrite would have replaced stays when the request cannot be met
cp -r ce before
missing=0 # the server's only sample is of class 0, or it has none of that class
excise unlearn run --method head --class 0 -s server.samples=1 -o one && missing=1
refuses 2 "server's 1 samples" unlearn run --method ce --class $missing -s server.samples=1 -o ce --overwrite
diff -r ce before >/dev/null || fail "a refusal has changed what --overwrite names"
refuses 2 "de-random" unlearn run --method fedsomething --class 1 -o other
for delta in 0 1.5 -1 nan; do
    refuses 2 'a number above 0, at most 1' unlearn run --class 1 --delta $delta -o other
done
refuses 2 "is the run that is read" unlearn run --class 1 -o ./run/ --overwrite
refuses 2 "is not empty" unlearn run --class 1 -o ce
absent other
diff -r run kept >/dev/null || fail "a refusal has changed the run"

# --- stopped: the folder is gone; one that was there stays
mkdir there
for folder in gone there; do
    "$excise" unlearn run --method retrain --class 1 -s rounds=500 -o $folder >out 2>err &
    pid=$!
    wait_for 60 test -s $folder/metrics.jsonl
    kill -INT $pid
    wait $pid
    code=$?
    [ $code -eq 130 ] || fail "an interrupted unlearning gave $code"
    has err "run it again"
done
absent gone
[ -z "$(ls -A there)" ] || fail "an interrupted unlearning left files"
