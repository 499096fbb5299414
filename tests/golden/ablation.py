"""Golden ablation: Algorithm 1 by its definition, one forward pass of the probe set per channel.

filter: the filter row and the bias are zero. activation: the layer's output behind norm, residual and
ReLU is zero in that channel.
"""
import numpy as np
import torch
import torch.nn.functional as F

import formula
from setting import torch_models

TRAINED, STEPS, BATCH, LR = 1280, 55, 32, 0.05
TRAIN_SEED, POOL_SEED, POOL = 1, 2, 1000
CLASS, PROBE = 3, 64
TIE = 1e-4  # logits closer than this may change places by rounding


def trained(setting):
    """A net that has learnt the generated task, though not perfectly."""
    torch.manual_seed(0)
    model = torch_models.make(setting.model_name, setting.channels).train()
    images, label = formula.learnable(TRAIN_SEED, TRAINED, setting.channels, setting.size)
    x, y = setting.normalise(images, torch.float32), torch.from_numpy(label).long()
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=0.9, weight_decay=5e-4)
    for step in range(STEPS):
        rows = torch.arange(step * BATCH, (step + 1) * BATCH) % TRAINED
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return model.eval()


def probe_images(setting):
    """Images of CLASS out of a pool; which of the pool they are."""
    images, label = formula.learnable(POOL_SEED, POOL, setting.channels, setting.size)
    index = np.flatnonzero(label == CLASS)[:PROBE]
    assert len(index) == PROBE
    return images[index], index


def activation_effects(model, x):
    """What count() gives with each channel's output map at zero, layer by layer."""
    y = torch.full((len(x),), CLASS)
    found = []
    for name, layer in torch_models.conv_and_linear(model):
        for c in range(layer.weight.shape[0]):
            def zero_channel(module, inputs, output, c=c):
                output = output.clone()
                output[:, c] = 0
                return output
            hook = output_module(model, name).register_forward_hook(zero_channel)
            found.append(count(model(x), y))
            hook.remove()
    return np.array(found)


def output_module(model, name):
    """The module whose output is that of resnet20's layer: its ReLU, or the classifier itself."""
    relu = {"conv_bn.conv": "relu", "linear": "linear"}.get(name)
    if relu is None:
        block, which = name.rsplit(".conv_bn", 1)
        relu = f"{block}.relu{which[0]}"
    return model.get_submodule(relu)


def filter_effects(model, x):
    """What count() gives with each channel's filter and bias at zero, layer by layer."""
    y = torch.full((len(x),), CLASS)
    found = []
    for _, layer in torch_models.conv_and_linear(model):
        for c in range(layer.weight.shape[0]):
            kept = layer.weight[c].clone(), None if layer.bias is None else layer.bias[c].clone()
            layer.weight[c] = 0
            if layer.bias is not None:
                layer.bias[c] = 0
            found.append(count(model(x), y))
            layer.weight[c] = kept[0]
            if layer.bias is not None:
                layer.bias[c] = kept[1]
    return np.array(found)


def count(logits, y):
    """(correct, mean loss, near ties)"""
    first, second = logits.topk(2, dim=1).values.unbind(1)
    return (int((logits.argmax(1) == y).sum()), float(F.cross_entropy(logits, y)),
            int((first - second < TIE).sum()))


def write_effects(out, name, found, base):
    correct = found[:, 0].astype(np.int32)
    print(f"  {name}: baseline {base[0]} of {PROBE}, correct from {correct.min()} to "
          f"{correct.max()}, {len(np.unique(correct))} different counts, "
          f"{int((found[:, 2] > 0).sum())} channels with a near tie")
    assert 0.6 * PROBE < base[0] and len(np.unique(correct)) > 10
    out.add(f"{name}/correct", correct)
    out.add(f"{name}/loss_delta", found[:, 1] - base[1])


@torch.no_grad()
def write_ablation(out, setting):
    with torch.enable_grad():
        model = trained(setting)
    images, index = probe_images(setting)
    x = setting.normalise(images, torch.float32)
    base = count(model(x), torch.full((PROBE,), CLASS))
    for name, value in model.state_dict().items():
        if "tracked" not in name:
            out.add(f"value/{name}", value.numpy())
    out.add("ablation/setup", np.int32([CLASS, PROBE, POOL, POOL_SEED]))
    out.add("ablation/index", index.astype(np.int32))
    out.add("ablation/baseline", np.float32(base[:2]))
    write_effects(out, "filter", filter_effects(model, x), base)
    write_effects(out, "activation", activation_effects(model, x), base)
