#!/usr/bin/env python3
"""Writes tests/data/files/resnet20_torch.{safetensors,txt} from PyTorch; the C test reads them.

usage: make_model_file.py OUT_DIR        (Debian: python3-torch, python3-numpy)

The .safetensors file is a resnet20 for 10 classes as PyTorch saves it, without metadata: weights of
layer3 in F16, of its last block in BF16, the rest F32. Values are rounded to bfloat16, so that all types
hold them exactly and the file packs well. The .txt file names some of them: tensor, indexes, value.
"""
import json
import os
import struct
import sys

import numpy as np
import torch
from torch import nn


class ConvNorm(nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x):
        return self.bn(self.conv(x))


class Block(nn.Module):
    def __init__(self, channels_in, channels):
        super().__init__()
        self.stride = channels // channels_in
        self.padding = (channels - channels_in) // 2
        self.conv_bn1 = ConvNorm(channels_in, channels, self.stride)
        self.conv_bn2 = ConvNorm(channels, channels, 1)

    def forward(self, x):
        y = self.conv_bn2(torch.relu(self.conv_bn1(x)))
        x = x[:, :, ::self.stride, ::self.stride]
        return torch.relu(y + nn.functional.pad(x, (0, 0, 0, 0, self.padding, self.padding)))


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_bn = ConvNorm(3, 16, 1)
        for stage, (channels_in, channels) in enumerate([(16, 16), (16, 32), (32, 64)], 1):
            blocks = nn.Sequential()
            for i in range(3):
                blocks.add_module(f"block_{i}", Block(channels if i else channels_in, channels))
            setattr(self, f"layer{stage}", blocks)
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = torch.relu(self.conv_bn(x))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def stored_type(name):
    if name.startswith("layer3.block_2"):
        return torch.bfloat16, "BF16"
    return (torch.float16, "F16") if name.startswith("layer3") else (torch.float32, "F32")


def write_file(path, state):
    header, chunks, offset = {}, [], 0
    for name, tensor in state.items():
        dtype, text = (torch.int64, "I64") if tensor.dtype == torch.int64 else stored_type(name)
        tensor = tensor.to(dtype).contiguous()
        if dtype == torch.bfloat16:  # numpy has no such type
            tensor = tensor.view(torch.int16)
        data = tensor.numpy().tobytes()
        header[name] = {"dtype": text, "shape": list(state[name].shape),
                        "data_offsets": [offset, offset + len(data)]}
        chunks.append(data)
        offset += len(data)
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def write_values(path, state, rng):
    with open(path, "w") as f:
        for name, tensor in state.items():
            if tensor.dtype != torch.float32:
                continue
            for _ in range(3):
                index = [int(rng.integers(n)) for n in tensor.shape]
                print(name, *index, float(tensor[tuple(index)]).hex(), file=f)


def main():
    out = sys.argv[1]
    torch.manual_seed(20)
    model = ResNet20()
    with torch.no_grad():
        model(torch.randn(32, 3, 16, 16))  # moves the running statistics
        for value in model.state_dict().values():
            if value.dtype == torch.float32:
                if value.dim() == 1:  # norms and biases get values that differ
                    value.add_(0.25 * torch.rand_like(value))
                # F16 holds a bfloat16 value exactly from 2^-17 on.
                value.copy_(torch.where(value.abs() < 2.0 ** -17, torch.zeros(()), value).bfloat16())
    state = model.state_dict()
    assert sum(p.numel() for p in model.parameters()) == 269722
    write_file(os.path.join(out, "resnet20_torch.safetensors"), state)
    write_values(os.path.join(out, "resnet20_torch.txt"), state, np.random.default_rng(20))


main()
