#!/usr/bin/env bash
# A model trained here loads in PyTorch with the same accuracy; one saved by PyTorch is evaluated,
# ablated and unlearned here, and loads there again. Skipped (77) where PyTorch is missing.
source "$(dirname "$0")/cli_common.sh"

find_torch
if [ -z "$python" ]; then
    echo "no Python with PyTorch: skipped (scripts/setup.sh --peers installs it)"
    exit 77
fi
exchange=$tests/torch_exchange.py

# agree RUN-OR-MODEL FILE: eval of the first gives PyTorch's accuracy of the file, within one sample.
agree() {
    succeeds eval "$1" -c torch.yaml --json -q
    "$python" "$exchange" accuracy "$2" data >theirs || fail "PyTorch does not take $2"
    "$python" - out theirs <<'PY' || fail "accuracy of $1: $(cat theirs) in PyTorch"
import json, sys
ours = json.load(open(sys.argv[1]))["test"]["accuracy"]
theirs = float(open(sys.argv[2]).read())
print(ours, theirs)
sys.exit(abs(ours - theirs) > 1.01 / 300)
PY
}

mkdir data
"$python" "$exchange" data data || fail "no data"
sed 's/synthetic/mnist/; s/_samples: [0-9]*/_samples: 0/' tiny.yaml >torch.yaml
echo "data_dir: $work/data" >>torch.yaml

succeeds train -c torch.yaml -s num_clients=1 -s rounds=6 -s local_epochs=2 -o run
agree run run/model.safetensors
"$python" "$exchange" change run/model.safetensors theirs.safetensors || fail "no change"
agree theirs.safetensors theirs.safetensors
succeeds ablate theirs.safetensors -c torch.yaml --class 9 -o effects.csv
succeeds unlearn theirs.safetensors -c torch.yaml --method ce --class 9 --effects effects.csv -o ce \
    -s unlearn.epochs=8 -s unlearn.batch_size=16 -s unlearn.lr=0.05
agree ce ce/model.safetensors
