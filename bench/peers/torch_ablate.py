"""Ablation of every channel in PyTorch, two ways that give the same counts.

naive   zero the filter row, run the whole model over the probe set, put the row back
prefix  keep every map of the unchanged model; for a layer, copies of its output with one channel
        ablated in each run through the rest of the model as one batch
"""
from dataclasses import dataclass
from typing import Callable, Optional

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
import torch.nn.functional as F

import torch_models


def count_correct(logits, label):
    return (logits.argmax(1) == label).sum()


# --- naive ------------------------------------------------------------------------------------

def pruned_bias(module):
    """A linear layer's bias goes with its row; a convolution's is what its folded norm emits."""
    return module.bias if isinstance(module, nn.Linear) else None


def pruned(model, limit=None):
    """Once for each channel, in the order of the model, while it is pruned; at most `limit` channels a
    layer. Under no_grad."""
    for _, module in torch_models.conv_and_linear(model):
        bias = pruned_bias(module)
        for c in range(min(module.weight.shape[0], limit or module.weight.shape[0])):
            row = module.weight[c].clone()
            module.weight[c] = 0
            if bias is not None:
                old = bias[c].clone()
                bias[c] = 0
            yield
            module.weight[c] = row
            if bias is not None:
                bias[c] = old


@torch.no_grad()
def naive(model, x, label, batch, limit=None):
    """Correct predictions with each channel pruned."""
    return torch.stack([sum(count_correct(model(part), of)
                            for part, of in zip(x.split(batch), label.split(batch)))
                        for _ in pruned(model, limit)])


# --- prefix -----------------------------------------------------------------------------------

@dataclass
class Node:
    """One tensor: run(input), + residual, ReLU. `layer`: the module whose channels are ablated."""
    run: Callable
    input: int
    residual: Optional[int] = None
    relu: bool = False
    layer: Optional[nn.Module] = None


def shortcut(extra):
    return lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, extra, extra))


def conv_node(conv, norm, at, residual=None):
    fused = fuse_conv_bn_eval(conv, norm)
    return Node(fused, at, residual, relu=True, layer=fused)


def resnet_nodes(model):
    nodes = [Node(lambda x: x, -1), conv_node(model.conv_bn.conv, model.conv_bn.bn, 0)]
    for stage in (model.layer1, model.layer2, model.layer3):
        for block in stage:
            start = residual = len(nodes) - 1
            if block.halve:
                nodes.append(Node(shortcut(block.extra), start))
                residual = len(nodes) - 1
            nodes.append(conv_node(block.conv_bn1.conv, block.conv_bn1.bn, start))
            nodes.append(conv_node(block.conv_bn2.conv, block.conv_bn2.bn, len(nodes) - 1, residual))
    nodes.append(Node(lambda x: x.mean(dim=(2, 3)), len(nodes) - 1))
    nodes.append(Node(model.linear, len(nodes) - 1, layer=model.linear))
    return nodes


def vgg_nodes(model):
    nodes = [Node(lambda x: x, -1)]
    modules = list(model.feature)
    for i, module in enumerate(modules):
        if isinstance(module, nn.Conv2d):
            nodes.append(conv_node(module, modules[i + 1], len(nodes) - 1))
        elif isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
            nodes.append(Node(module, len(nodes) - 1))
    nodes.append(Node(lambda x: x.flatten(1), len(nodes) - 1))
    first, last = model.classifier.linear_0, model.classifier.linear_1
    nodes.append(Node(first, len(nodes) - 1, relu=True, layer=first))
    nodes.append(Node(last, len(nodes) - 1, layer=last))
    return nodes


def nodes_of(model):
    """Of a model in evaluation mode, its norms folded into the convolutions."""
    with torch.no_grad():
        return (vgg_nodes if isinstance(model, torch_models.Vgg11) else resnet_nodes)(model)


def finish(node, y, residual):
    if residual is not None:
        y = y.add_(residual)
    return y.relu_() if node.relu else y


def repeat(x, variants):
    """The batch, variants times, in x's layout."""
    return torch.cat([x] * variants)


def ablated(node, y, channels, residual):
    """The output of a layer once per channel, without that channel's filter."""
    variants = len(channels)
    out = repeat(y, variants)
    each = out.unflatten(0, (variants, len(y)))  # (variants, images, channels, ...)
    variant = torch.arange(variants, device=y.device)
    channel = torch.arange(channels.start, channels.stop, device=y.device)
    if isinstance(node.layer, nn.Linear):
        each[variant, :, channel] = 0
    else:  # one assignment, so that a GPU is not waited for channel by channel
        constant = node.layer.bias[channels.start:channels.stop].to(y.dtype)
        each[variant, :, channel] = constant.view(variants, *[1] * (y.dim() - 1))
    return finish(node, out, None if residual is None else repeat(residual, variants))


def suffix(nodes, maps, at, out, variants):
    """Logits from node `at`'s output on; maps from before it are repeated where they are read."""
    values = {at: out}

    def value(i):
        if i is None:
            return None
        if i not in values:
            values[i] = repeat(maps[i], variants)
        return values[i]

    for i in range(at + 1, len(nodes)):
        node = nodes[i]
        if node.input < at and (node.residual is None or node.residual < at):
            continue  # computed before the ablation; its map is kept
        # conv1 and the shortcut of a block read the same map: only a fresh result is changed
        values[i] = finish(node, node.run(value(node.input)), value(node.residual))
    return values[len(nodes) - 1]


@torch.no_grad()
def prefix(nodes, x, label, chunk, variants, limit=None, every=1):
    """As naive; `chunk` probe images at a time, `variants` channels in a batch. every > 1 skips
    nodes: for a trial."""
    total = None
    for part, of in zip(x.split(chunk), label.split(chunk)):
        maps = []
        for node in nodes:
            residual = None if node.residual is None else maps[node.residual]
            inputs = part if node.input < 0 else maps[node.input]
            y = node.run(inputs)
            maps.append(finish(node, y, residual) if node.relu or residual is not None else y)
        counts = []
        for at, node in enumerate(nodes):
            if node.layer is None or at % every:
                continue
            y = node.run(maps[node.input])
            residual = None if node.residual is None else maps[node.residual]
            width = node.layer.weight.shape[0]
            for first in range(0, min(width, limit or width), variants):
                channels = range(first, min(first + variants, limit or width, width))
                out = ablated(node, y, channels, residual)
                logits = suffix(nodes, maps, at, out, len(channels))
                right = logits.argmax(1).view(len(channels), -1) == of
                counts.append(right.sum(1))
        counts = torch.cat(counts)
        total = counts if total is None else total + counts
    return total
