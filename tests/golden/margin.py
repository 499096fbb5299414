"""Keeps golden steps away from decisions that rounding could turn.

A ReLU whose input is within float32's error of zero, or a max pool with two values that close, may
go either way in two correct programs, and then whole gradient elements differ. A case is usable
when PyTorch's own float32 error at each ReLU and pool is smaller than the distance to the nearest
such turn.
"""
import contextlib

import torch
from torch import nn
import torch.nn.functional as F

POOL_MARGIN = 1.5  # the difference of two values carries both their errors


class Risky(Exception):
    pass


@contextlib.contextmanager
def watch(model, visit):
    """Calls visit(module type, input) before every ReLU and max pool."""
    def hook(module, inputs):
        visit(type(module), inputs[0].detach())
    hooks = [m.register_forward_pre_hook(hook) for m in model.modules()
             if isinstance(m, (nn.ReLU, nn.MaxPool2d))]
    try:
        yield
    finally:
        for h in hooks:
            h.remove()


def record(model, x):
    """[(type, input)] of every ReLU and max pool in a forward pass."""
    seen = []
    with torch.no_grad(), watch(model, lambda kind, v: seen.append((kind, v.double().clone()))):
        model(x)
    return seen


def close_calls(kind, x, error):
    """How many decisions on the values x lie within `error`."""
    if kind is nn.ReLU:
        return int((x.abs() <= error).sum())
    # Equal values come from equal surroundings (black borders): either choice gives the same
    # weight gradients, and the input gradient moves within the border only.
    windows = F.unfold(x.reshape(-1, 1, *x.shape[2:]), 2, stride=2)
    first, second = windows.topk(2, dim=1).values.unbind(1)
    gap = first - second
    return int(((gap <= POOL_MARGIN * error) & (gap > 1e-3 * error) & (first > 0)).sum())


def errors(seen32, seen64):
    return [float((a - b).abs().max()) for (_, a), (_, b) in zip(seen32, seen64)]


def is_safe(model32, x32, model64, x64):
    """No decision of the float64 model lies within the float32 model's error."""
    seen32, seen64 = record(model32, x32), record(model64, x64)
    return all(close_calls(kind, x, error) == 0
               for (kind, x), error in zip(seen64, errors(seen32, seen64)))


def looks_safe(model32, x32, error):
    """A cheap first look: the same with given errors, in float32, stopping at the first call."""
    remaining = iter(error)

    def visit(kind, x):
        if close_calls(kind, x, next(remaining)):
            raise Risky
    try:
        with torch.no_grad(), watch(model32, visit):
            model32(x32)
        return True
    except Risky:
        return False
