#!/usr/bin/env python3
"""The jobs of excise-bench in PyTorch, each in the fastest of several ways that a user would find.

    torch_peer.py step|eval|ablate [options]      see --help

Prints one JSON object. Every way is tried for a moment and the best is measured; --use fixes it.
Images lie in memory as bytes and are gathered and normalised in each batch, as excise does.
--precision bf16 is torch.autocast: values and their gradients stay float32, convolutions and matrix
products read bf16.
"""
import argparse
import itertools
import json
import resource
import statistics
import sys
import time

import torch
import torch.nn.functional as F

import torch_ablate
import torch_models

MEAN, STD = 0.5, 0.25
SHAPES = {"cifar": (3, 32), "fashion": (1, 28), "3x32x32": (3, 32), "1x28x28": (1, 28)}
FEED_BATCHES = 8  # batches in a repetition
SGD = {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}


class Data:
    def __init__(self, options, count):
        channels, side = SHAPES[options.shape]
        generator = torch.Generator().manual_seed(1)
        self.images = torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8,
                                    generator=generator)
        self.labels = torch.arange(count) % 10
        size = torch_models.SIZES[options.model]
        self.border = (size - side) // 2 if size else 0

    def batch(self, index, layout):
        x = self.images[index]
        if self.border:
            x = F.pad(x, [self.border] * 4)
        x = x.to(torch.float32, memory_format=layout)
        return x.mul_(1 / (255 * STD)).sub_(MEAN / STD), self.labels[index]


def layout_of(name):
    return torch.channels_last if name == "channels_last" else torch.contiguous_format


def rounding(options, keep=True):
    """What a forward pass runs in. keep: filters made bf16 are kept until its end; not where they
    change in place, nor while a model is traced."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.precision == "bf16",
                          cache_enabled=keep)


def make_model(options, layout):
    torch.manual_seed(1)
    model = torch_models.make(options.model, SHAPES[options.shape][0])
    return model.to(memory_format=layout)


# --- step -------------------------------------------------------------------------------------

class Step:
    ways = list(itertools.product(("nchw", "channels_last"), ("loop", "foreach")))
    unit, parts, trials = "ms", FEED_BATCHES, 3

    def __init__(self, options, way):
        self.layout = layout_of(way[0])
        self.model = make_model(options, self.layout).train()
        self.sgd = torch.optim.SGD(self.model.parameters(), foreach=way[1] == "foreach", **SGD)
        self.data = Data(options, options.batch * FEED_BATCHES)
        self.options = options
        self.batch = options.batch

    def run(self, batches=FEED_BATCHES):
        total = 0.0
        for i in range(batches):
            index = torch.arange(i * self.batch, (i + 1) * self.batch)
            x, label = self.data.batch(index, self.layout)
            self.sgd.zero_grad(set_to_none=True)
            with rounding(self.options):
                logits = self.model(x)
            loss = F.cross_entropy(logits.float(), label)
            loss.backward()
            self.sgd.step()
            total += loss.item()
        return total

    def trial(self):
        self.run(2)


# --- eval -------------------------------------------------------------------------------------

def optimized(model, way, example):
    """The model as it is, with norms folded (fx), or traced, frozen and optimised (TorchScript)."""
    model.eval()
    if way == "folded":
        from torch.fx.experimental import optimization
        return optimization.fuse(model)
    if way == "frozen":
        frozen = torch.jit.freeze(torch.jit.trace(model, example))
        return torch.jit.optimize_for_inference(frozen)
    return model


class Eval:
    ways = list(itertools.product(("nchw", "channels_last"), ("plain", "folded", "frozen")))
    unit, parts, trials = "ms", FEED_BATCHES, 3

    def __init__(self, options, way):
        self.layout = layout_of(way[0])
        self.data = Data(options, options.batch * FEED_BATCHES)
        self.options = options
        self.batch = options.batch
        example = self.data.batch(torch.arange(self.batch), self.layout)[0]
        with torch.no_grad(), rounding(options, keep=False):
            self.model = optimized(make_model(options, self.layout), way[1], example)

    def run(self, batches=FEED_BATCHES):
        loss = 0.0
        correct = torch.zeros((), dtype=torch.long)
        with torch.no_grad():
            for i in range(batches):
                index = torch.arange(i * self.batch, (i + 1) * self.batch)
                x, label = self.data.batch(index, self.layout)
                with rounding(self.options):
                    logits = self.model(x).float()
                loss += F.cross_entropy(logits, label, reduction="sum").item()
                correct += (logits.argmax(1) == label).sum()
        return loss

    def trial(self):
        self.run(2)


# --- ablate -----------------------------------------------------------------------------------

class Naive:
    """The whole model for every channel."""
    ways = list(itertools.product(("nchw", "channels_last"), ("plain", "folded"),
                                  ("64", "128", "256")))
    unit, parts, trials = "s", 1, 1

    def __init__(self, options, way):
        layout = layout_of(way[0])
        self.x, self.label = Data(options, options.probe).batch(torch.arange(options.probe), layout)
        with torch.no_grad():
            self.model = optimized(make_model(options, layout), way[1], self.x)
        self.options = options
        self.batch = int(way[2])

    def run(self, limit=None):
        with rounding(self.options, keep=False):
            counts = torch_ablate.naive(self.model, self.x, self.label, self.batch, limit)
        return float(counts.sum())

    def trial(self):
        self.run(limit=1)


class Prefix:
    """What lies before the layer is computed once; several channels share a batch behind it."""
    ways = list(itertools.product(("nchw", "channels_last"), ("32", "256"), ("128", "256", "512")))
    unit, parts, trials = "s", 1, 1

    def __init__(self, options, way):
        layout = layout_of(way[0])
        self.x, self.label = Data(options, options.probe).batch(torch.arange(options.probe), layout)
        self.nodes = torch_ablate.nodes_of(make_model(options, layout).eval())
        self.options = options
        self.chunk = int(way[1])
        self.variants = max(1, int(way[2]) // min(self.chunk, options.probe))

    def run(self, limit=None, every=1):
        with rounding(self.options, keep=False):
            counts = torch_ablate.prefix(self.nodes, self.x, self.label, self.chunk, self.variants,
                                         limit, every)
        return float(counts.sum())

    def trial(self):
        self.run(limit=16, every=4)


JOBS = {("step", None): Step, ("eval", None): Eval, ("ablate", "naive"): Naive,
        ("ablate", "prefix"): Prefix}


# --- measuring --------------------------------------------------------------------------------

def seconds(run):
    start = time.perf_counter()
    value = run()
    return time.perf_counter() - start, value


def choose(job, options, ways):
    """The least time of a short run, and the way that took it."""
    best = None
    for way in ways:
        one = job(options, way)
        one.trial()
        took = min(seconds(one.trial)[0] for _ in range(job.trials))
        if best is None or took < best[0]:
            best = took, way
    return best


def measure(job, options, way):
    one = job(options, way)
    if options.job != "ablate":
        one.run()
    else:
        one.trial()
    samples, finite = [], True
    for _ in range(options.repetitions or (3 if options.job == "ablate" else 10)):
        took, value = seconds(one.run)
        finite &= value == value and abs(value) != float("inf")
        samples.append(took * (1e3 if job.unit == "ms" else 1) / job.parts)
    return samples, finite


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", choices=("step", "eval", "ablate"))
    parser.add_argument("--model", choices=sorted(torch_models.MODELS), default="resnet20")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="cifar")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32",
                        help="bf16: autocast")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--probe", type=int, default=256)
    parser.add_argument("--peer", choices=("naive", "prefix"), default="prefix",
                        help="ablate: the whole model per channel, or from the channel on")
    parser.add_argument("--repetitions", type=int, default=0)
    parser.add_argument("--trial", action="store_true", help="only choose the way")
    parser.add_argument("--use", help="the way, as an earlier run printed it")
    return parser.parse_args()


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    peer = options.peer if options.job == "ablate" else None
    job = JOBS[options.job, peer]
    result = {"job": options.job, "peer": "pytorch" + (f" {peer}" if peer else ""),
              "model": options.model, "shape": options.shape, "precision": options.precision,
              "threads": options.threads, "version": torch.__version__, "unit": job.unit}
    way = tuple(options.use.split(",")) if options.use else None
    if way and way not in job.ways:
        sys.exit(f"--use {options.use}: one of {[','.join(w) for w in job.ways]}")
    if options.trial or not way:
        result["trial_seconds"], way = choose(job, options, [way] if way else job.ways)
    result["use"] = ",".join(way)
    finite = True
    if not options.trial:
        samples, finite = measure(job, options, way)
        result.update(median=statistics.median(samples), min=min(samples), max=max(samples),
                      repetitions=len(samples), finite=finite)
    result["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(result))
    return 0 if finite else 1


if __name__ == "__main__":
    sys.exit(main())
