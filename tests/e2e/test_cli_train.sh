#!/usr/bin/env bash
# excise train: what a run folder holds, and that a resumed run ends with the same bits.
source "$(dirname "$0")/cli_common.sh"

# --- a run folder
succeeds train -c tiny.yaml -o deep/er/run
present deep/er/run/{config.yaml,metrics.jsonl,model.safetensors,ledger.json,report.json,algorithms.json}
present deep/er/run/checkpoint/round-{2,3}.bin
absent deep/er/run/checkpoint/round-1.bin
has out "test accuracy"
has err "round 3/3"
[ "$(wc -l <deep/er/run/metrics.jsonl)" -eq 3 ] || fail "not a line a round"
tail -n 1 deep/er/run/metrics.jsonl >last.json
json last.json 'd["round"] == 3 and d["phase"] == "train" and d["samples"] == 400'
json last.json '0 <= d["test_accuracy"] <= 1 and d["seconds"] > 0 and d["bytes_up"] > 4 * 269722 * 4'
json deep/er/run/report.json 'd["command"] == "train" and d["rounds"] == 3 and d["seed"] == 1'
json deep/er/run/report.json 'len(d["test"]["per_class"]) == 10 and d["cost"]["rounds"] == 3'
json deep/er/run/ledger.json '{"train", "evaluate"} <= {p["name"] for p in d["phases"]}'
[ -z "$(find . -name '*.tmp')" ] || fail "temporary files stayed"

# --- the resolved configuration gives the same run
succeeds train -c deep/er/run/config.yaml -o again --json -q
[ ! -s err ] || fail "--quiet logged"
json out 'd["command"] == "train" and d["libraries"]["zlib"]'
same deep/er/run/model.safetensors again/model.safetensors

# --- options win over the file, later ones over earlier ones
succeeds train -c tiny.yaml -s rounds=2 -s lr=0.5 -s lr=0.02 --seed 7 --lanes 1 -o options
has options/config.yaml "rounds: 2 "
has options/config.yaml "lr: 0.02 "
has options/config.yaml "seed: 7 "
cmp -s options/model.safetensors again/model.safetensors && fail "seed and rate changed nothing"

# --- the number of lanes changes no bit
succeeds train -c tiny.yaml --lanes 3 -o lanes
same lanes/model.safetensors again/model.safetensors

# --- a folder that is not empty
echo mine >again/notes.txt
refuses 2 "again is not empty" train -c tiny.yaml -o again
succeeds train -c tiny.yaml -s rounds=1 -o again --overwrite
has again/notes.txt mine
absent again/checkpoint/round-3.bin
[ "$(wc -l <again/metrics.jsonl)" -eq 1 ] || fail "--overwrite kept old metrics"

# --- interrupted, by either signal, then resumed, twice
for signal in INT TERM; do
    interrupt $signal "grep -q '^round 1/3' err" train -c tiny.yaml -o "by$signal"
    has err "excise train -o by$signal --resume"
    absent "by$signal/model.safetensors" "by$signal/report.json"
    present "by$signal/checkpoint/round-1.bin"
    refuses 2 "is a run that is not finished" eval "by$signal"
    succeeds train -o "by$signal" --resume
    has err "going on after round"
    same "by$signal/model.safetensors" deep/er/run/model.safetensors
    [ "$(wc -l <"by$signal/metrics.jsonl")" -eq 3 ] || fail "metrics of a resumed run"
    json "by$signal/ledger.json" '[p for p in d["phases"] if p["name"] == "train"][0]["rounds"] == 3'
done

# --- stopped before the first round is complete
interrupt INT "test -s early/checkpoint/round-0.bin" train -c tiny.yaml -s local_epochs=200 -o early
succeeds train -o early --resume -s rounds=1 -s local_epochs=200 --help
refuses 2 'local_epochs is "1", but the run to resume began with "200"' \
    train -c tiny.yaml -o early --resume

# --- a complete run can be resumed: to where it is, and further
succeeds train -o options --resume
has err "going on after round 2"
succeeds train -c tiny.yaml -o further -s rounds=2
succeeds train -c tiny.yaml -o further -s rounds=3 --resume
same further/model.safetensors deep/er/run/model.safetensors
refuses 2 "rounds is 2, but 3 are complete in further" train -o further --resume -s rounds=2
present further/report.json

# --- the server's momentum goes on where it was
momentum=(-s aggregation=fedavgm -s server.momentum=0.5)
succeeds train -c tiny.yaml "${momentum[@]}" -o whole
succeeds train -c tiny.yaml "${momentum[@]}" -s rounds=2 -o parts
succeeds train -o parts -s rounds=3 --resume
same parts/model.safetensors whole/model.safetensors
cmp -s whole/model.safetensors again/model.safetensors && fail "momentum changed nothing"
refuses 2 'aggregation is "fedavg", but the run to resume began with "fedavgm"' \
    train -o parts -s aggregation=fedavg --resume

# --- a finished run that goes on is not finished until it has ended: no old result beside new rounds
"$excise" train -o further --resume -s rounds=60 >out 2>err &
pid=$!
wait_for 60 test -s further/checkpoint/round-4.bin
kill -KILL $pid
wait $pid 2>/dev/null
absent further/report.json further/model.safetensors further/ledger.json
refuses 2 "is a run that is not finished; \`excise train -o further --resume\` goes on" eval further

# --- two processes do not share a folder; names are quoted for the shell
"$excise" train -c tiny.yaml -s rounds=60 -o "it's a run" >background 2>&1 &
pid=$!
wait_for 60 test -s "it's a run/checkpoint/round-1.bin"
refuses 2 "it's a run is in use by another excise" train -o "it's a run" --resume
refuses 2 "it's a run is a run that another excise is at work on" eval "it's a run"
kill -KILL $pid
wait $pid 2>/dev/null
interrupt INT "grep -q 'going on' err" train -o "it's a run" --resume
has err "\`excise train -o 'it'\\''s a run' --resume\` goes on"
rm -r "it's a run"

# --- with timed algorithms, a resumed run repeats the choices of its folder
succeeds train -c tiny.yaml -s conv=auto -o timed
mkdir resumed
cp -r timed/config.yaml timed/metrics.jsonl timed/algorithms.json timed/checkpoint resumed
rm resumed/checkpoint/round-3.bin
succeeds train -o resumed --resume
same resumed/model.safetensors timed/model.safetensors

# --- choices that cannot be computed fail a run that has begun: status 1, and it goes on without them
python3 - <<'PY'
import json
choices = json.load(open("timed/algorithms.json"))
choices["algorithms"] = dict.fromkeys(choices["algorithms"], "winograd")
json.dump(choices, open("wrong.json", "w"))
PY
refuses 1 "; 0 complete rounds kept, \`excise train -o wrong --resume\` then goes on" \
    train -c tiny.yaml -s conv=auto --algorithms wrong.json -o wrong
grep -qE "cannot be computed that way|has no implementation" err || fail "wrong choices were computed"
present wrong/checkpoint/round-0.bin
rm wrong/algorithms.json
succeeds train -o wrong --resume

# --- choices of an earlier version, which told no layouts, are timed again, with a warning
mkdir older
cp -r timed/config.yaml timed/metrics.jsonl timed/algorithms.json timed/checkpoint older
rm older/checkpoint/round-3.bin
python3 - older/algorithms.json <<'PY' || fail "no layouts are told"
import json, re, sys
file = json.load(open(sys.argv[1]))
old = {re.sub(r" src\d+ dst\d+", "", key): name for key, name in file["algorithms"].items()}
assert old and not old.keys() & file["algorithms"].keys()
json.dump({**file, "algorithms": old}, open(sys.argv[1], "w"))
PY
succeeds train -o older --resume
has err "warning: older/algorithms.json: choices of an earlier version, which tell no layouts"
has older/algorithms.json " src16 dst16 "
succeeds eval older
! grep -q "earlier version" err || fail "choices of this version are taken for an earlier one's"

# --- a damaged checkpoint gives way to the one before
cp -r timed damaged
printf X | dd of=damaged/checkpoint/round-3.bin bs=1 seek=5000 conv=notrunc status=none
succeeds train -o damaged --resume
has err "warning: damaged/checkpoint/round-3.bin is damaged"
has err "going on after round 2"
same damaged/model.safetensors timed/model.safetensors
printf X | dd of=damaged/checkpoint/round-3.bin bs=1 seek=5000 conv=notrunc status=none
truncate -s 100 damaged/checkpoint/round-2.bin
cp damaged/config.yaml before.yaml
refuses 2 "damaged/checkpoint/round-2.bin is damaged" train -o damaged --resume -s rounds=9
same damaged/config.yaml before.yaml
refuses 2 "has no checkpoint" train -o nowhere --resume
absent nowhere
