# bench/peers/torch_ablate.py: `naive` and `prefix`, in either layout and cut in any way, give the counts
# that excise gives of the same model on the same images.
source "$(dirname "${BASH_SOURCE[0]}")/cli_common.sh"
find_torch
[ -n "$python" ] || {
    echo "no PyTorch: run scripts/setup.sh --peers" >&2
    exit 77
}

# 20 images, all of them the probe set.
cat >peers.py <<'PY'
import csv, sys

sys.path.insert(0, sys.argv[2])
import torch_exchange
import torch_ablate
import torch_models
import numpy as np
import torch

COUNT = 20


def draw(folder):
    draw = np.random.default_rng(5)
    shapes = draw.uniform(0, 120, (10, 28, 28))
    for part in ("train", "t10k"):
        labels = np.arange(COUNT, dtype=np.uint8) % 10
        images = shapes[labels] + draw.uniform(0, 135, (COUNT, 28, 28))
        torch_exchange.write_idx(f"{folder}/{part}-images-idx3-ubyte", images.astype(np.uint8))
        torch_exchange.write_idx(f"{folder}/{part}-labels-idx1-ubyte", labels)


def read(path, header, shape):
    with open(path, "rb") as file:
        return np.frombuffer(file.read()[header:], np.uint8).reshape(shape)


def counts_of_excise(path, model):
    """In the order of the model, over all classes."""
    total = {}
    with open(path) as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            cell = row["layer"], int(row["channel"])
            total[cell] = total.get(cell, 0) + int(row["correct"])
    found = [total.pop((name, c)) for name, layer in torch_models.conv_and_linear(model)
             for c in range(layer.weight.shape[0])]
    assert not total
    return torch.tensor(found)


def compare():
    images = read("data/train-images-idx3-ubyte", 16, (COUNT, 1, 28, 28))
    label = torch.from_numpy(read("data/train-labels-idx1-ubyte", 8, COUNT).astype(np.int64))
    x = (torch.from_numpy(images.astype(np.float32)) / 255 - torch_exchange.MEAN) / torch_exchange.STD
    model = torch_exchange.model_of("run/model.safetensors")
    expected = counts_of_excise("effects.csv", model)
    assert len(expected.unique()) > 4, "these images tell no channels apart"
    nodes = torch_ablate.nodes_of(model)
    last = x.to(memory_format=torch.channels_last)
    with torch.no_grad():
        found = {"naive": torch_ablate.naive(model, x, label, 20),
                 "prefix": torch_ablate.prefix(nodes, x, label, 20, 5),
                 "prefix, chunks": torch_ablate.prefix(nodes, last, label, 8, 3)}
    for name, counts in found.items():
        differ = (counts != expected).sum().item()
        print(f"{name}: {differ} of {len(expected)} counts differ")
        # Logits that nearly tie may change places with the order of summation.
        assert differ <= 2 and (counts - expected).abs().max() <= 1, name


draw("data") if sys.argv[1] == "data" else compare()
PY
mkdir data
"$python" peers.py data "$tests" || fail "no data"
sed 's/synthetic/mnist/; s/_samples: [0-9]*/_samples: 0/; s/samples: 100/samples: 20/' tiny.yaml >torch.yaml
echo "data_dir: $work/data" >>torch.yaml
succeeds train -c torch.yaml -s num_clients=1 -s rounds=12 -s batch_size=10 -o run
succeeds ablate run --class all -s unlearn.probe=20 -o effects.csv
"$python" peers.py compare "$tests" || fail "the peers' counts are not excise's"
