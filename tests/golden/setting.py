"""What the golden cases of one model and image shape share: start values, normalisation, margins."""
import math
import os
import sys

import numpy as np
import torch
from torch import nn

import formula

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "bench", "peers"))
import torch_models  # noqa: E402

MEAN, STD = (0.5, 0.46, 0.53), (0.26, 0.24, 0.28)  # of values in 0..1, per channel
SEED = 1
NEAR_STRIDE = {"resnet20": 8, "resnet20-projection": 8, "resnet18": 32, "vgg11": 32,
               "vgg11-head1": 32, "vgg11-head3": 32}
SHAPES = {"cifar": (3, 32), "fashion": (1, 28), "small": (3, 16)}


# Of seed 0x123456789, client 3, round 5, epoch 2, step 7, use 10 (dropout), as rng.h packs them.
DROPOUT_KEY, DROPOUT_COUNTER = (0x23456789, 1), (7, 3 << 12 | 2, 5 << 8 | 10)


class Setting:
    MEAN, STD = MEAN, STD

    def __init__(self, model, shape):
        self.model_name, self.name = model, f"{model}_{shape}"
        self.channels, self.size = SHAPES[shape]
        self.input_size = torch_models.SIZES[model] or self.size
        self.stored = {}   # name -> float32 tensor that the file holds
        self.spread = {}   # name -> (centre, spread) of a tensor made by formula
        self.start = self._start()
        self._calibrate()

    def build(self, dtype, training=False, start=None):
        model = torch_models.make(self.model_name, self.channels).to(dtype)
        model.load_state_dict({k: v.to(dtype) for k, v in (start or self.start).items()})
        set_masks(model)
        return model.train(training)

    def normalise(self, images, dtype):
        """byte * scale + shift in float32, as the engine does, padded by black."""
        pad = (self.input_size - self.size) // 2
        images = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        mean, std = (np.float32(v[:self.channels]) for v in (MEAN, STD))
        scale = (1.0 / (255.0 * std.astype(np.float64))).astype(np.float32)
        shift = (-mean.astype(np.float64) / std).astype(np.float32)
        x = images.astype(np.float32) * scale[:, None, None] + shift[:, None, None]
        return torch.from_numpy(x).to(dtype)

    def velocity(self, dtype):
        return {name: formula.values("velocity." + name, SEED, value.shape, 0, 0.05).to(dtype)
                for name, value in self.start.items()
                if "running" not in name and "tracked" not in name}

    def _start(self):
        start = {}
        model = torch_models.make(self.model_name, self.channels)
        norms = {n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
        for name, value in model.state_dict().items():
            layer, kind = name.rsplit(".", 1)
            if "running" in kind or "tracked" in kind:
                start[name] = value
            elif layer in norms and "shortcut" in layer:
                # Added to a norm whose shifts keep clear of zero: small beside them.
                self.spread[name] = np.float32([0.0, 0.3] if kind == "bias" else [0.3, 0.1])
                start[name] = formula.values(name, SEED, value.shape, *self.spread[name])
            elif layer in norms and kind == "bias":
                start[name] = self.stored[name] = shifts(
                    name, value.numel(), NEAR_STRIDE[self.model_name])
            else:
                fan_in = value[0].numel() if value.ndim > 1 else 100
                centre = 1.0 if layer in norms else 0.0
                spread = 0.3 if layer in norms else math.sqrt(6.0 / fan_in)
                self.spread[name] = np.float32([centre, spread])
                start[name] = formula.values(name, SEED, value.shape, *self.spread[name])
        return start

    def _calibrate(self):
        """Running statistics near what the model's activations have, but not equal to it."""
        model = self.build(torch.float64, training=True)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            model(self.normalise(formula.images(999, 64, self.channels, self.size),
                                 torch.float64))
        found = model.state_dict()
        for name in [n for n in found if "running_mean" in n]:
            var = found[name.replace("_mean", "_var")]
            moved = formula.values(name, SEED, var.shape, 0, 0.1) * var.sqrt()
            widened = formula.values(name + "?", SEED, var.shape, 1, 0.2) * var
            self._store(name, found[name] + moved)
            self._store(name.replace("_mean", "_var"), widened)

    def _store(self, name, value):
        self.start[name] = self.stored[name] = value.float()


def set_masks(model):
    """Dropout as the engine draws it: Philox, 24 bits a value, the layers' blocks counted through."""
    layers = [m for m in model.modules() if isinstance(m, torch_models.Dropout)]
    first = {}  # layer -> its first block

    def mask(layer, shape):
        count = math.prod(shape)
        first[layer] = 0 if layer == 0 else first[layer]
        word = formula.philox(DROPOUT_KEY, DROPOUT_COUNTER, first[layer], count)
        first[layer + 1] = first[layer] + (count + 3) // 4
        kept = (word >> np.uint32(8)) * 2.0**-24 >= layers[layer].p
        return torch.from_numpy(kept.reshape(shape))
    for i, layer in enumerate(layers):
        layer.mask = lambda shape, i=i: mask(i, shape)


def shifts(name, count, stride):
    """Norm shifts: one channel in `stride` crosses zero, the others lie some four deviations below
    (three quarters) or above. Few activations are then so close to a ReLU's kink that rounding
    decides; more channels above would cost the gradients digits, by cancellation."""
    near = formula.values(name, SEED, (count,), 0, 1)
    far = formula.values(name + "?", SEED, (count,), 4, 0.5)
    above = torch.from_numpy((formula.words(name + "!", SEED, count) & np.uint32(3)) == 0)
    return torch.where(torch.arange(count) % stride == 5, near, torch.where(above, far, -far))
