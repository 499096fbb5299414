#!/usr/bin/env python3
"""Reads a .safetensors file by the format's text alone and compares it with a model's raw vectors.

usage: read_model_file.py MODEL.safetensors VECTORS.f32 TABLE.txt

TABLE.txt has a line a tensor: name, first float in VECTORS.f32, axes in PyTorch's order. Filters lie
K,R,S,C in the vectors. Exit status 77 if numpy is missing.
"""
import json
import struct
import sys

try:
    import numpy as np
except ImportError:
    sys.exit(77)

TYPES = {"F32": np.float32, "I64": np.int64}


def read_file(path):
    with open(path, "rb") as f:
        raw = f.read()
    (length,) = struct.unpack("<Q", raw[:8])
    assert length % 8 == 0 and raw[8:9] == b"{", "header is not aligned or no object"
    header, data = json.loads(raw[8:8 + length]), raw[8 + length:]
    metadata, at, tensors = header.pop("__metadata__"), 0, {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        dtype = np.dtype(TYPES[entry["dtype"]])
        assert begin == at and begin % dtype.itemsize == 0, f"{name} begins at {begin}, not {at}"
        tensors[name] = np.frombuffer(data[begin:end], dtype).reshape(entry["shape"])
        at = end
    assert at == len(data), f"{len(data) - at} bytes behind the last tensor"
    return metadata, tensors


def main():
    metadata, tensors = read_file(sys.argv[1])
    vectors = np.fromfile(sys.argv[2], np.float32)
    assert metadata["format"] == "pt" and metadata["classes"] == "10", metadata
    names, counters = set(), {name for name in tensors if name.endswith(".num_batches_tracked")}
    for line in open(sys.argv[3]):
        name, first, *shape = line.split()
        first, shape = int(first), tuple(map(int, shape))
        values = vectors[first:first + int(np.prod(shape))]
        if len(shape) == 4:
            values = values.reshape(shape[0], shape[2], shape[3], shape[1]).transpose(0, 3, 1, 2)
        assert tensors[name].shape == shape, f"{name}: {tensors[name].shape}, not {shape}"
        assert np.array_equal(tensors[name], values.reshape(shape)), f"{name}: other values"
        names.add(name)
    norms = {name[:-len(".running_mean")] for name in names if name.endswith(".running_mean")}
    assert counters == {norm + ".num_batches_tracked" for norm in norms}, counters
    assert all(tensors[name].shape == () and tensors[name] == 17 for name in counters)
    assert set(tensors) == names | counters, set(tensors) ^ names
    print(f"{len(tensors)} tensors agree")


main()
