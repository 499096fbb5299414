#!/usr/bin/env python3
"""The jobs of excise-bench in PyTorch on a GPU, in one of the ways that a user would find.

    torch_gpu.py step|eval|ablate --mode eager|compile|graph [options]      see --help

Prints one JSON object. Images lie on the device as bytes and are gathered and normalised in each
batch, as excise does; losses are summed there and read once a repetition. `graph` captures a whole
batch into a CUDA graph; `compile` is torch.compile as it comes, or with a whole batch captured,
whichever is faster. Every mode uses channels_last, the fastest optimizer that this PyTorch has, and
cuDNN's own timing of algorithms. With --device cpu nothing is captured: a trial of this program.
"""
import argparse
import contextlib
import json
import statistics
import sys
import time

try:
    import torch
except ImportError:
    print("this Python has no PyTorch: name one that has by PYTHON")
    sys.exit(77)
import torch.nn.functional as F

import torch_ablate
import torch_models
from torch_peer import FEED_BATCHES, MEAN, SGD, SHAPES, STD

WARM_UP = 4  # batches before anything is measured or captured


def make_sgd(parameters):
    for how in ({"fused": True}, {"foreach": True}, {}):
        with contextlib.suppress(TypeError, RuntimeError):
            return torch.optim.SGD(parameters, **how, **SGD)
    raise SystemExit("this PyTorch has no SGD")


def folded(model):
    """With the norms in the convolutions, where this PyTorch can do it."""
    try:
        from torch.fx.experimental import optimization
        return optimization.fuse(model)
    except (ImportError, AttributeError):
        return model


def on_gpu(options):
    return options.device.startswith("cuda")


class Data:
    def __init__(self, options, count):
        channels, side = SHAPES[options.shape]
        generator = torch.Generator().manual_seed(1)
        images = torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8,
                               generator=generator)
        self.images = images.to(options.device)
        self.labels = (torch.arange(count) % 10).to(options.device)
        size = torch_models.SIZES[options.model]
        self.border = (size - side) // 2 if size else 0

    def batch(self, index):
        x = self.images[index]
        if self.border:
            x = F.pad(x, [self.border] * 4)
        x = x.to(torch.float32, memory_format=torch.channels_last)
        return x.mul_(1 / (255 * STD)).sub_(MEAN / STD), self.labels[index]


class Feed:
    """Batches in order through `body(index)`, which adds a loss to self.total on the device."""

    def __init__(self, options):
        torch.manual_seed(1)
        self.options = options
        self.data = Data(options, options.batch * FEED_BATCHES)
        model = torch_models.make(options.model, SHAPES[options.shape][0])
        self.model = model.to(options.device).to(memory_format=torch.channels_last)
        self.total = torch.zeros((), device=options.device)
        self.index = torch.arange(options.batch, device=options.device)
        self.all = torch.arange(options.batch * FEED_BATCHES, device=options.device)

    def prepare(self):
        if self.options.mode == "compile":
            self.model = torch.compile(self.model)
        self.call = self.captured() if self.options.mode == "graph" else self.body

    def captured(self):
        if not on_gpu(self.options):
            return self.body
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self.body(self.index)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.body(self.index)

        def replay(index):
            self.index.copy_(index)
            graph.replay()
        return replay

    def rounding(self):
        if self.options.precision == "bf16":
            return torch.autocast(torch.device(self.options.device).type, torch.bfloat16)
        return contextlib.nullcontext()

    def run(self):
        self.total.zero_()
        for index in self.all.split(self.options.batch):
            self.call(index)
        return self.total.item()


class Step(Feed):
    unit, parts, repetitions = "ms", FEED_BATCHES, 20

    def __init__(self, options):
        super().__init__(options)
        self.model.train()
        self.sgd = make_sgd(self.model.parameters())
        self.prepare()

    def body(self, index):
        x, label = self.data.batch(index)
        self.sgd.zero_grad(set_to_none=True)
        with self.rounding():
            loss = F.cross_entropy(self.model(x), label)
        loss.backward()
        self.sgd.step()
        self.total += loss.detach()


class Eval(Feed):
    unit, parts, repetitions = "ms", FEED_BATCHES, 20

    def __init__(self, options):
        super().__init__(options)
        self.model = folded(self.model.eval()).to(memory_format=torch.channels_last)
        self.prepare()

    @torch.no_grad()
    def body(self, index):
        x, label = self.data.batch(index)
        with self.rounding():
            logits = self.model(x)
        self.total += F.cross_entropy(logits.float(), label, reduction="sum")


class Ablate(Feed):
    """Eager: what lies before the layer is kept, and several channels share a batch. Compiled, or as a
    graph: the whole model for every channel, all probe images at once."""
    unit, parts, repetitions = "s", 1, 3

    def __init__(self, options):
        super().__init__(options)
        probe = torch.arange(options.probe, device=options.device) % len(self.all)
        self.x, self.label = self.data.batch(probe)
        if options.mode == "eager":
            self.nodes = torch_ablate.nodes_of(self.model.eval())
            return
        self.model = folded(self.model.eval()).to(memory_format=torch.channels_last)
        self.whole = self.model
        self.prepare()

    @torch.no_grad()
    def body(self, index):
        with self.rounding():
            logits = self.model(self.x)
        self.total += torch_ablate.count_correct(logits, self.label)

    @torch.no_grad()
    def run(self):
        if self.options.mode != "eager":
            self.total.zero_()
            for _ in torch_ablate.pruned(self.whole):
                self.call(self.index)
            return self.total.item()
        chunk = min(self.options.probe, 256)
        with self.rounding():
            counts = torch_ablate.prefix(self.nodes, self.x, self.label, chunk,
                                         max(1, self.options.images // chunk))
        return float(counts.sum())


JOBS = {"step": Step, "eval": Eval, "ablate": Ablate}


def set_precision(precision):
    torch.backends.cuda.matmul.allow_tf32 = precision != "fp32"
    torch.backends.cudnn.allow_tf32 = precision != "fp32"
    torch.backends.cudnn.benchmark = True


def synchronize(options):
    if on_gpu(options):
        torch.cuda.synchronize()


def measure(job, options):
    """Times of so many runs, in the job's unit, after one that compiles and times algorithms; and
    the last run's value."""
    job.run()
    samples = []
    for _ in range(options.repetitions or job.repetitions):
        synchronize(options)
        start = time.perf_counter()
        value = job.run()
        synchronize(options)
        samples.append((time.perf_counter() - start) * (1e3 if job.unit == "ms" else 1) / job.parts)
    return samples, value


def measure_captured(job, options):
    """The same with whole batches captured, or None where that fails."""
    try:
        job.call = job.captured()
        return measure(job, options)
    except Exception as error:  # whatever a compiled model does that cannot be captured
        print(f"not captured: {error}", file=sys.stderr)
        return None


def memory(options):
    """MiB that tensors took at most, and that PyTorch held for them."""
    if not on_gpu(options):
        return {}
    return {"tensors_mib": torch.cuda.max_memory_allocated() / 2**20,
            "reserved_mib": torch.cuda.max_memory_reserved() / 2**20}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", choices=sorted(JOBS))
    parser.add_argument("--mode", choices=("eager", "compile", "graph"), default="eager")
    parser.add_argument("--model", choices=sorted(torch_models.MODELS), default="resnet20")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="cifar")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32")
    parser.add_argument("--probe", type=int, default=256, help="ablate: images to judge on")
    parser.add_argument("--images", type=int, default=4096, help="ablate: at most in a batch")
    parser.add_argument("--repetitions", type=int, default=0)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N; cpu: to try this program")
    return parser.parse_args()


def main():
    options = parse()
    if on_gpu(options) and not torch.cuda.is_available():
        print("this PyTorch has no GPU")
        return 77
    if options.mode == "compile" and not hasattr(torch, "compile"):
        print("this PyTorch has no torch.compile")
        return 77
    if on_gpu(options):
        torch.cuda.set_device(torch.device(options.device).index or 0)
    set_precision(options.precision)
    job = JOBS[options.job](options)
    began = time.perf_counter()
    samples, value = measure(job, options)
    way = options.mode
    if options.mode == "compile":
        captured = measure_captured(job, options)
        if captured and statistics.median(captured[0]) < statistics.median(samples):
            (samples, value), way = captured, "compile, captured"
    finite = value == value and abs(value) != float("inf")
    print(json.dumps({
        "job": options.job, "peer": "pytorch", "mode": way, "model": options.model,
        "shape": options.shape, "batch": options.batch, "precision": options.precision,
        "unit": job.unit, "median": statistics.median(samples), "min": min(samples),
        "max": max(samples), "repetitions": len(samples),
        "seconds": time.perf_counter() - began, "value": value, "finite": finite, "version": torch.__version__,
        **memory(options)}))
    return 0 if finite else 1


if __name__ == "__main__":
    sys.exit(main())
