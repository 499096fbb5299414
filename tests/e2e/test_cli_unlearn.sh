#!/usr/bin/env bash
# excise unlearn: every method, what it leaves, and how it goes on when it was stopped.
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

# --- unlearn.seed names the draws of unlearning, and nothing else
succeeds unlearn run --method head --class 1 -s unlearn.seed=1 -o seed1
same seed1/model.safetensors head/model.safetensors
succeeds unlearn run --method head --class 1 -s unlearn.seed=2 -o seed2
json seed2/report.json 'd["seed"] == 1 and d["unlearn_seed"] == 2'
cmp -s seed2/model.safetensors head/model.safetensors && fail "unlearn.seed changed nothing"
python3 - seed2/report.json head/report.json <<'PY' || fail "unlearn.seed changed the data"
import json, sys
a, b = (json.load(open(p))["before"] for p in sys.argv[1:])
sys.exit(a != b)
PY

# --- the run's seed stays: another would draw data that the model was not trained on
for command in "unlearn run --method head --class 1 -o seed3" "ablate run --class 1 -o seed3.csv" "eval run"; do
    # shellcheck disable=SC2086
    refuses 2 "seed is 2, but run has 1" $command -s seed=2
    has err "set unlearn.seed=2 for other draws of unlearning"
done
absent seed3 seed3.csv
succeeds eval run --seed 1
succeeds eval run/model.safetensors -c tiny.yaml --seed 2 # somebody's own data
succeeds eval run -s num_clients=2 -q
has err "warning: num_clients is 2, but run was trained with 4: samples or clients are not those"

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
grep -q "effects given were measured" err && fail "effects of this very run were warned of"
json given/report.json 'd["effects"]["precision"] == "fp32" and d["effects"]["seed"] == 1'

# --- effects that were measured otherwise are taken, and told; those of an older file are not known
sed '1s/ablate=filter precision=fp32 seed=1/ablate=activation precision=bf16 seed=7/' effects.csv >else.csv
succeeds unlearn run --method head --class 1 --effects else.csv -o unused
grep -q "effects given were measured" err && fail "effects that nobody uses were warned of"
succeeds unlearn run --method ce --class 1 --effects else.csv -s unlearn.probe=5 -o otherwise
for words in "unlearn.ablate activation, where this run has filter" "precision bf16, where this run has fp32" \
    "unlearn.probe 8, where this run has 5" "unlearn.seed 7, where this run has 1"; do
    has err "the effects given were measured with $words; they are taken as they are"
done
json otherwise/report.json 'd["effects"]["precision"] == "bf16" and d["effects"]["ablate"] == "activation"'
sed '1s/effects 2/effects 1/; 1s/ precision=.*//' effects.csv >old.csv
succeeds unlearn run --method ce --class 1 --effects old.csv -o old
grep -q "effects given were measured" err && fail "what a file does not tell was warned of"
same old/model.safetensors ce/model.safetensors
has old/effects.csv "precision=unknown seed=unknown"
json old/report.json 'd["effects"]["precision"] is None and d["effects"]["seed"] is None'
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

# --- stopped, and resumed to the same bits: with and without the model's name
long=(-s unlearn.stop_forget=-1 -s unlearn.epochs=30 -s unlearn.rounds=8)
for method in ce de head; do
    succeeds unlearn run --method $method --class 1 --effects effects.csv "${long[@]}" -o whole-$method
done
mv retrain whole-retrain
for job in INT:ce TERM:de TERM:head INT:retrain; do
    method=${job#*:} folder=by-$job
    options=(--method $method --class 1)
    [ $method = retrain ] || options+=(--effects effects.csv "${long[@]}")
    interrupt "${job%:*}" "test -s $folder/checkpoint/round-1.bin" unlearn run "${options[@]}" -o $folder
    grep -qE "^excise: interrupted; [0-9]+ complete (epoch|round)s? kept, what was begun after is lost; \`excise unlearn -o $folder --resume\` goes on$" err ||
        fail "not the words on how to go on"
    absent $folder/{report.json,model.safetensors}
    refuses 2 "\`excise unlearn -o $folder --resume\` goes on" eval $folder
    if [ "${job%:*}" = INT ]; then
        succeeds unlearn -o $folder --resume
    else
        succeeds unlearn run -o $folder --resume
    fi
    grep -qE "going on after (round|epoch)" err || fail "$folder began anew"
    python3 "$tests/compare_runs.py" whole-$method $folder || fail "$folder differs from what nobody stopped"
done
json by-INT:retrain/report.json '[p["epoch"] for p in d["trace"]] == [1, 2, 3]'

# --- stopped before the ablation is complete: it is repeated
slow=(unlearn run --method ce --class 1 -s unlearn.probe=32 -s unlearn.variants=1)
succeeds "${slow[@]}" -o slow
interrupt INT "test -s in-ablation/checkpoint/round-0.bin" "${slow[@]}" -o in-ablation
has err "interrupted before the first epoch was complete; \`excise unlearn -o in-ablation --resume\` goes on"
grep -q '^ablated' err && fail "the ablation went to its end"
absent in-ablation/{effects.csv,mask.json,report.json,model.safetensors}
succeeds unlearn -o in-ablation --resume
grep -q '^ablated' err || fail "the ablation was not repeated"
same in-ablation/model.safetensors slow/model.safetensors

# --- the ablation of a run that goes on is not repeated, and its cost stays
succeeds unlearn run --method ce --class 1 -s unlearn.stop_forget=-1 -o long
cp -r long cut-long
rm cut-long/{report.json,model.safetensors,ledger.json} cut-long/checkpoint/round-2.bin
succeeds unlearn -o cut-long --resume
has err "going on after epoch 1"
grep -q ablated err && fail "the ablation was repeated"
same cut-long/model.safetensors long/model.safetensors
cp long/report.json expected.json
json cut-long/report.json 'd["effects"] == json.load(open("expected.json"))["effects"]'
json cut-long/report.json 'd["cost"]["ablation_s"] == json.load(open("expected.json"))["cost"]["ablation_s"]'

# --- a damaged checkpoint gives way to the one before, on the server and with clients
succeeds unlearn run --method de --class 1 --effects ce/effects.csv -s unlearn.stop_forget=-1 -o long-de
for job in long:60 long-de:5000; do
    whole=${job%:*}
    rm -rf damaged
    cp -r "$whole" damaged
    rm damaged/{report.json,model.safetensors,ledger.json}
    printf '\377' | dd of=damaged/checkpoint/round-2.bin bs=1 seek="${job#*:}" conv=notrunc status=none
    succeeds unlearn -o damaged --resume
    has err "warning: damaged/checkpoint/round-2.bin is damaged"
    grep -qE "going on after (epoch|round) 1" err || fail "not gone on from the checkpoint before"
    same damaged/model.safetensors "$whole/model.safetensors"
done
printf '\377' | dd of=damaged/checkpoint/round-2.bin bs=1 seek=60 conv=notrunc status=none
truncate -s 100 damaged/checkpoint/round-1.bin
refuses 2 "damaged/checkpoint/round-1.bin is damaged" unlearn -o damaged --resume

# --- what diverges keeps the ablation, which another learning rate then does without
refuses 1 "begin again with \`--effects wild/effects.csv -s unlearn.lr=" unlearn run --method ce --class 1 \
    -s unlearn.lr=1000 -s weight_decay=1000 -s unlearn.epochs=50 -s unlearn.stop_forget=-1 -o wild
same wild/effects.csv ce/effects.csv
succeeds unlearn run --method ce --class 1 --effects wild/effects.csv -o wild --overwrite
grep -q ablated err && fail "the ablation was repeated"
same wild/model.safetensors ce/model.safetensors

# --- a run whose effects are gone is refused, and stays as it is
cp -r given gone
rm gone/effects.csv
cp -r gone gone-before
refuses 2 "gone/effects.csv" unlearn -o gone --resume --lanes 3
diff -r gone gone-before >/dev/null || fail "a refusal has changed the run"
rm -r gone gone-before

# --- what cannot be resumed
refuses 2 'unlearn.class is "2", but the run to resume began with' unlearn -o ce --resume --class 2
refuses 2 'unlearn.delta is "0.5", but the run to resume began with' unlearn -o ce --resume --delta 0.5
refuses 2 "is not the model that ce began with" unlearn de --resume -o ce
refuses 2 "is no run of \`excise unlearn\`" unlearn --resume -o run --class 1
refuses 2 "is no run of \`excise train\`; \`excise unlearn -o ce --resume\`" train -o ce --resume
refuses 2 "has no checkpoint" unlearn run --resume -o nowhere
refuses 2 "-o RUN2" unlearn --resume
diff -r run kept >/dev/null || fail "a refusal has changed the run"

# --- a refused request leaves nothing, and a folder that was there empty
mkdir there
refuses 2 "none of the server's" unlearn run --method head --class 1 -s server.samples=1 -o gone
refuses 2 "none of the server's" unlearn run --method head --class 1 -s server.samples=1 -o there
absent gone
[ -z "$(ls -A there)" ] || fail "a refused unlearning left files"
