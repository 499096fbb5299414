"""Golden training steps: one batch forward, backward and SGD update, in float64."""
import zlib

import numpy as np
import torch
import torch.nn.functional as F

import formula
import margin

WHOLE = 1024  # tensors up to this size are stored whole, others as a summary
# The C tests allow 1e-4 of a tensor's rms as the rms of its errors and 1e-3 (of rms + element) for a
# single element. PyTorch's float32 and float64 must agree ten times better for a case to be kept.
RMS_AGREEMENT, ELEMENT_AGREEMENT = 1e-5, 1e-4
LR, MOMENTUM, WEIGHT_DECAY = 0.05, 0.9, 5e-4


class Case:
    """batch images under a seed; frozen: norms use running statistics."""

    def __init__(self, name, batch, seed, frozen=False, nesterov=False):
        self.name, self.batch, self.seed = name, batch, seed
        self.frozen, self.nesterov = frozen, nesterov


def summary(name, value):
    """Row sums, row sums of squares, and SAMPLES elements; rows are output channels."""
    rows = value.double().reshape(value.shape[0], -1)
    flat = value.double().reshape(-1)
    picked = flat[torch.from_numpy(formula.sample_index(name, flat.numel()))]
    return torch.cat([rows.sum(1), (rows * rows).sum(1), picked])


def store(out, prefix, name, value):
    if value.numel() <= WHOLE:
        out.add(f"{prefix}/{name}", value.double().numpy())
    else:
        out.add(f"{prefix}/{name}~", summary(name, value).numpy())


def run(setting, case, dtype):
    """One step; returns everything that it computed."""
    model = setting.build(dtype, training=not case.frozen)
    x = setting.normalise(formula.images(case.seed, case.batch, setting.channels, setting.size),
                          dtype).requires_grad_()
    y = torch.from_numpy(formula.labels(case.seed, case.batch)).long()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM,
                                weight_decay=WEIGHT_DECAY, nesterov=case.nesterov)
    velocity = setting.velocity(dtype)
    for name, p in model.named_parameters():
        optimizer.state[p]["momentum_buffer"] = velocity[name].clone()
    logits = model(x)
    loss = F.cross_entropy(logits, y)
    loss.backward()
    grads = {n: p.grad.detach().clone() for n, p in model.named_parameters()}
    optimizer.step()
    return {
        "logits": {"": logits.detach()}, "loss": {"": loss.detach().reshape(1)},
        "grad": grads, "input": {"": x.grad},
        "velocity": {n: optimizer.state[p]["momentum_buffer"]
                     for n, p in model.named_parameters()},
        "param": {n: p.detach() for n, p in model.named_parameters()},
        "stat": {n: b for n, b in model.named_buffers() if "running" in n},
    }


def check_agreement(case, step32, step64):
    """Refuses a case where float32 and float64 disagree by more than a tenth of the tolerance."""
    worst_rms = worst_element = 0.0
    for kind, tensors in step64.items():
        for name, ref in tensors.items():
            error = (step32[kind][name].double() - ref).abs()
            scale = rms(ref)
            if kind == "param":  # judged by the update; the parameter's own rounding is apart
                error = (error - 2.0**-24 * ref.abs()).clamp(min=0)
                scale = rms(step64["velocity"][name]) * LR
                ref = torch.zeros(())
            scale = max(scale, 1e-12)
            worst_rms = max(worst_rms, rms(error) / scale)
            worst_element = max(worst_element, float((error / (scale + ref.abs())).max()))
    assert worst_rms <= RMS_AGREEMENT and worst_element <= ELEMENT_AGREEMENT, (
        f"{case.name}: float32 and float64 differ by {worst_rms:.1e} (rms), {worst_element:.1e}")
    return worst_rms, worst_element


def rms(x):
    return float(x.double().pow(2).mean().sqrt())


def is_safe(setting, case, error=None):
    image = formula.images(case.seed, case.batch, setting.channels, setting.size)
    training = not case.frozen
    x32 = setting.normalise(image, torch.float32)
    model32 = setting.build(torch.float32, training)
    if error is not None and not margin.looks_safe(model32, x32, error):
        return False
    return margin.is_safe(setting.build(torch.float32, training), x32,
                          setting.build(torch.float64, training), x32.double())


def search(setting, case, limit=5000):
    """The first seed whose images keep clear of all turns."""
    x = setting.normalise(formula.images(0, case.batch, setting.channels, setting.size),
                          torch.float32)
    training = not case.frozen
    error = margin.errors(margin.record(setting.build(torch.float32, training), x),
                          margin.record(setting.build(torch.float64, training), x.double()))
    for case.seed in range(1, limit):
        if not is_safe(setting, case, [0.7 * e for e in error]):
            continue
        try:
            check_agreement(case, run(setting, case, torch.float32),
                            run(setting, case, torch.float64))
            return case.seed
        except AssertionError:
            continue
    raise SystemExit(f"{setting.name} {case.name}: no seed below {limit} is safe")


def write_start(out, setting):
    """Start values that are no formula, formulas' parameters, and checksums of what they give."""
    out.add("mean", np.float32((*setting.MEAN[:setting.channels],)))
    out.add("std", np.float32((*setting.STD[:setting.channels],)))
    out.add("sgd", np.float32([LR, MOMENTUM, WEIGHT_DECAY]))
    for name, value in setting.stored.items():
        out.add(f"start/{name}", value.numpy())
    for name, pair in setting.spread.items():
        out.add(f"spread/{name}", pair)
        crc = zlib.crc32(setting.start[name].numpy().tobytes())
        out.add(f"crc/{name}", np.uint32([crc]).view(np.int32))


def write_case(out, setting, case):
    assert is_safe(setting, case), f"{setting.name} {case.name}: search another seed"
    step64 = run(setting, case, torch.float64)
    found = check_agreement(case, run(setting, case, torch.float32), step64)
    print(f"  {case.name}: float32 and float64 agree to {found[0]:.1e} (rms), {found[1]:.1e}")
    images = formula.images(case.seed, case.batch, setting.channels, setting.size)
    head = [case.batch, case.seed, case.frozen, case.nesterov,
            np.uint32(zlib.crc32(images.tobytes())).view(np.int32)]
    out.add(f"{case.name}/case", np.int32(head))
    out.add(f"{case.name}/label", formula.labels(case.seed, case.batch))
    for kind, tensors in step64.items():
        for name, value in tensors.items():
            label = f"{kind}/{name}" if name else kind
            if kind == "input":
                value = value.reshape(-1, *value.shape[2:])  # rows: planes of an image
            store(out, case.name, label, value)


def write_eval(out, setting, case):
    """Logits of an evaluation; the classes of the two largest are far apart, so counts hold."""
    logits = {}
    for dtype in (torch.float32, torch.float64):
        images = formula.images(case.seed, case.batch, setting.channels, setting.size)
        with torch.no_grad():
            logits[dtype] = setting.build(dtype)(setting.normalise(images, dtype))
    ref = logits[torch.float64]
    scale = float(ref.pow(2).mean().sqrt())
    assert float((logits[torch.float32].double() - ref).abs().max()) <= RMS_AGREEMENT * scale
    first, second = ref.topk(2, dim=1).values.unbind(1)
    assert float((first - second).min()) > 1e-3, f"{setting.name} {case.name}: near tie"
    y = torch.from_numpy(formula.labels(case.seed, case.batch)).long()
    crc = np.uint32(zlib.crc32(images.tobytes())).view(np.int32)
    out.add(f"{case.name}/case", np.int32([case.batch, case.seed, 1, 0, crc]))
    out.add(f"{case.name}/label", formula.labels(case.seed, case.batch))
    out.add(f"{case.name}/logits", ref.numpy())
    out.add(f"{case.name}/loss", F.cross_entropy(ref, y, reduction="sum").reshape(1).numpy())
    out.add(f"{case.name}/correct", np.int32([int((ref.argmax(1) == y).sum())]))
