"""Public models and their logits in PyTorch, for test_convert.sh.

usage: torch_convert.py make DATA MODELS     CIFAR-10's files with a few images, and all models as
                                             .safetensors under their own names; prints NAME ARCHITECTURE
       torch_convert.py check DATA MODELS    NAME in its module gives the logits of NAME.logits;
                                             NAME.back holds NAME's tensors
"""
import os
import sys

import numpy as np
import torch

import torch_public
from torch_exchange import load, save

MEAN, STD = (0.5, 0.4, 0.3), 0.25  # as test_convert.sh configures


def make_data(folder):
    draw = np.random.default_rng(5)
    for part, count in (("data_batch_1", 120), ("test_batch", 20)):
        records = draw.integers(0, 256, (count, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(count) % 10
        records.tofile(os.path.join(folder, part + ".bin"))


def make_models(folder):
    for name, (_, _, architecture) in torch_public.MODELS.items():
        save(torch_public.state_of(*torch_public.make(name)), os.path.join(folder, name))
        if architecture:
            print(name, architecture)
    save({f"body.{i}.kernel": torch.zeros(3, 3) for i in range(5)}, os.path.join(folder, "foreign"))


def test_images(folder):
    records = np.fromfile(os.path.join(folder, "test_batch.bin"), np.uint8).reshape(-1, 3073)
    pixels = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32)) / 255
    return (pixels - torch.tensor(MEAN).reshape(3, 1, 1)) / STD


def error_of(name, path, x):
    """Largest difference between PyTorch's logits in float64 and the file's, by their rms."""
    model, prefix = torch_public.make(name, seed=4)
    state = {key[len(prefix):]: value for key, value in load(path).items()}
    model.load_state_dict(state, strict=True)
    with torch.no_grad():
        theirs = model.double()(x.double())
    ours = load(path + ".logits")["logits"].double()
    return ((ours - theirs).abs().max() / theirs.pow(2).mean().sqrt()).item()


def same(first, second):
    a, b = load(first), load(second)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def check(data, models):
    x = test_images(data)
    for name, (_, _, architecture) in torch_public.MODELS.items():
        path = os.path.join(models, name)
        if not architecture:
            continue
        assert same(path, path + ".back"), f"{name}: not the same tensors after the way back"
        error = error_of(name, path, x)
        print(f"{name}: largest error {error:.1e} of the logits' rms")
        assert error < 2e-5, path


if __name__ == "__main__":
    command, data, models = sys.argv[1:]
    if command == "make":
        make_data(data)
        make_models(models)
    else:
        check(data, models)
