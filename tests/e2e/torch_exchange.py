"""Models between excise and PyTorch, for test_pytorch.sh.

usage: torch_exchange.py data DIR               makes a small learnable data set in MNIST's files
       torch_exchange.py accuracy MODEL DIR     prints PyTorch's test accuracy of a model file
       torch_exchange.py change MODEL OUT       loads a model file, changes it, saves it as PyTorch does
"""
import json
import os
import struct
import sys

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "bench", "peers"))
import torch_models  # noqa: E402

MEAN, STD = 0.1307, 0.3081  # MNIST's, as excise has them
TYPES = {"F32": np.float32, "I64": np.int64}


def load(path):
    """The state dictionary of a .safetensors file, read by the format's own rules."""
    with open(path, "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    body = data[8 + size:]
    return {name: torch.from_numpy(
        np.frombuffer(body[t["data_offsets"][0]:t["data_offsets"][1]], TYPES[t["dtype"]])
        .reshape(t["shape"]).copy()) for name, t in header.items()}


def save(state, path):
    header, body = {}, b""
    for name, tensor in state.items():
        values = tensor.numpy()
        kind = "I64" if values.dtype == np.int64 else "F32"
        start = len(body)
        body += values.astype(TYPES[kind]).tobytes()
        header[name] = {"dtype": kind, "shape": list(values.shape),
                        "data_offsets": [start, len(body)]}
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)


def model_of(path):
    model = torch_models.make("resnet20", 1, 10)
    model.load_state_dict(load(path), strict=True)  # every name, nothing else
    return model.eval()


def write_idx(path, array):
    with open(path, "wb") as file:
        file.write(struct.pack(">I", 0x0800 | array.ndim))
        file.write(struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


def make_data(folder):
    draw = np.random.default_rng(5)
    shapes = draw.uniform(0, 120, (10, 28, 28))
    for part, count in (("train", 400), ("t10k", 300)):
        labels = np.arange(count, dtype=np.uint8) % 10
        images = shapes[labels] + draw.uniform(0, 135, (count, 28, 28))
        write_idx(os.path.join(folder, f"{part}-images-idx3-ubyte"), images.astype(np.uint8))
        write_idx(os.path.join(folder, f"{part}-labels-idx1-ubyte"), labels)


def accuracy(path, folder):
    with open(os.path.join(folder, "t10k-images-idx3-ubyte"), "rb") as file:
        images = np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 1, 28, 28)
    with open(os.path.join(folder, "t10k-labels-idx1-ubyte"), "rb") as file:
        labels = torch.from_numpy(np.frombuffer(file.read()[8:], np.uint8).astype(np.int64))
    inputs = (torch.from_numpy(images.astype(np.float32)) / 255 - MEAN) / STD
    with torch.no_grad():
        return (model_of(path)(inputs).argmax(1) == labels).double().mean().item()


def change(path, out):
    model = model_of(path)
    with torch.no_grad():
        model.linear.bias += torch.linspace(0, 1.5, 10)
    save(model.state_dict(), out)


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    if command == "data":
        make_data(*paths)
    elif command == "accuracy":
        print(accuracy(*paths))
    else:
        change(*paths)
