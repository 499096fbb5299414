# bench/accuracy.py: a tiny configuration in both precisions; complete runs are kept; bad usage.
accuracy=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/bench/accuracy.py
source "$(dirname "${BASH_SOURCE[0]}")/cli_common.sh"

cat >tiny.yaml <<'YAML'
dataset: synthetic
model: resnet20
train_samples: 96
test_samples: 64
num_clients: 2
rounds: 2
local_epochs: 1
batch_size: 16
lr: 0.02
server: {samples: 32, threads: 1}
YAML
excise train -c tiny.yaml --precision bf16 --dry-run --json || exit 77 # no AVX-512

python3 "$accuracy" "$excise" -o runs -c tiny.yaml --seeds 1 && fail "one seed has no spread"
for bad in "--seeds 1 1" "--precisions bf16 bf16" "--last 0" "-c nothing.yaml"; do
    # shellcheck disable=SC2086
    python3 "$accuracy" "$excise" -o runs -c tiny.yaml $bad 2>/dev/null
    [ $? -eq 2 ] || fail "accuracy.py takes $bad"
done
python3 "$accuracy" "$excise" -o runs -c tiny.yaml -s conv=direct --seeds 1 2 --last 1 >out 2>err
code=$?
[ $code -le 1 ] || fail "accuracy.py gave $code"
[ "$(grep -c '^==>' err)" -eq 4 ] || fail "four runs were expected"
tail -n 1 out >result.json
# Its figures are those of the runs' reports; the verdict is what it says it is, and the status its.
json result.json 'd["within"] == (abs(d["difference"]) <= d["spread"]["fp32"])'
json result.json "d['within'] == ($code == 0)"
python3 - <<'PY' || fail "the table is not what the runs' reports say"
import json
d = json.load(open("result.json"))
for i, seed in enumerate((1, 2)):
    for p in ("fp32", "bf16"):
        report = json.load(open(f"runs/{p}-{seed}/report.json"))
        assert report["precision"] == p and report["seed"] == seed
        last = json.loads(open(f"runs/{p}-{seed}/metrics.jsonl").readlines()[-1])
        assert d["accuracy"][p][i] == last["test_accuracy"]
PY
python3 "$accuracy" "$excise" -o runs -c tiny.yaml -s conv=direct --seeds 1 2 --last 1 >again 2>err
same out again
[ ! -s err ] || fail "complete runs ran again"
python3 "$accuracy" "$excise" -o runs -c tiny.yaml --seeds 1 2 2>err && fail "another request took the runs"
has err "another configuration"

# Nor does another build take them, which counts otherwise.
cat >other <<SCRIPT
#!/bin/sh
[ "\$1" != --version ] || exec sed 's/^  commit .*/  commit     0000000/' version
exec "$excise" "\$@"
SCRIPT
chmod +x other
"$excise" --version >version
python3 "$accuracy" ./other -o runs -c tiny.yaml -s conv=direct --seeds 1 2 --last 1 >out 2>err && fail "another build took the runs"
has err "another configuration or build"
[ ! -s out ] || fail "a result of another build's runs"
cp "$excise" same-build
python3 "$accuracy" ./same-build -o runs -c tiny.yaml -s conv=direct --seeds 1 2 --last 1 >again 2>err
same result.json <(tail -n 1 again)
