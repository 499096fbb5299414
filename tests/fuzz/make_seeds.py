#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets' corpora, made from the formats' descriptions alone.

    python3 tests/fuzz/make_seeds.py tests/fuzz/corpus

Each file is one input as its target (fuzz_NAME.c) describes it; names begin with "seed-". Valid
ones, so that a fuzzer starts behind the first check, and a few of the faults that users meet.
"""
import gzip
import json
import pathlib
import struct
import sys
import zlib

CLASSES, CHANNELS = 3, 4  # of the tiny model in fuzz.c
DIGEST = 0x0123456789ABCDEF


def idx(values: bytes, *sizes: int) -> bytes:
    return struct.pack(f">BBBB{len(sizes)}I", 0, 0, 8, len(sizes), *sizes) + values


def idx_pair(images: bytes, labels: bytes, flags: int = 0) -> bytes:
    return struct.pack("<BH", flags, len(images)) + images + labels


def idx_seeds() -> dict:
    images, labels = idx(bytes(range(12)), 2, 2, 3), idx(b"\x09\x00", 2)
    packed = gzip.compress(images, mtime=0), gzip.compress(labels, mtime=0)
    two_members = gzip.compress(images[:20], mtime=0) + gzip.compress(images[20:], mtime=0)
    claim = idx(b"", 1 << 26, 28, 28)
    return {
        "plain": idx_pair(images, labels),
        "gzip": idx_pair(*packed),
        "gzip-here": idx_pair(images, labels, 3),
        "gzip-cut": idx_pair(images, labels, 7),
        "two-members": idx_pair(two_members, packed[1]),
        "zeros": idx_pair(gzip.compress(idx(bytes(28 * 28 * 300), 300, 28, 28), mtime=0),
                          gzip.compress(idx(bytes(300), 300), mtime=0)),
        "claims-much": idx_pair(claim, labels),
        "claims-more": idx_pair(idx(bytes(2000), 2000, 28, 28), labels),
        "claims-much-gzip": idx_pair(gzip.compress(claim, mtime=0), labels),
        "label-too-large": idx_pair(images, idx(b"\x0a\x00", 2)),
        "labels-cut": idx_pair(images, labels[:-1]),
        "images-go-on": idx_pair(images + b"\0", labels),
        "fewer-labels": idx_pair(images, idx(b"\x01", 1)),
    }


def cifar_seeds() -> dict:
    record = bytes([3]) + bytes(range(6))  # each byte stands for 439, 7 for a record of 3073
    fine = bytes([99]) + bytes(range(52))  # each byte stands for 58, 53 for a record of 3074
    whole = bytes([5]) + bytes(i % 251 for i in range(3072))
    raw, hundred = 4, 8
    one, two, three, raw_one = (bytes([n]) for n in (0, 1, 2, raw + 2))  # n % 3: files but one
    return {
        "one": one + record * 2,
        "two": two + record * 4,
        "three": three + record * 3,
        "cut": one + record[:-1],
        "label-too-large": one + bytes([10]) + record[1:],
        "raw": raw_one + whole,
        "gzip": raw_one + gzip.compress(whole * 3, mtime=0),
        "empty": one,
        "hundred": bytes([hundred]) + fine * 3,
        "hundred-label-too-large": bytes([hundred]) + bytes([100]) + fine[1:],
        "hundred-raw": bytes([hundred + raw]) + bytes([200]) + whole,
    }


def safetensors(tensors: list, metadata=None) -> bytes:
    """tensors: (name, dtype, shape, bytes)."""
    header, data = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, dtype, shape, values in tensors:
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def safetensors_seeds() -> dict:
    every = [(t.lower(), t, [2], bytes(2 * n)) for t, n in
             [("F64", 8), ("I64", 8), ("U64", 8), ("F32", 4), ("I32", 4), ("U32", 4), ("F16", 2),
              ("BF16", 2), ("I16", 2), ("U16", 2), ("I8", 1), ("U8", 1), ("BOOL", 1)]]
    whole = safetensors([("a", "F32", [2, 3], bytes(range(24))), ("b", "I64", [], bytes(8))],
                        {"format": "pt"})
    offsets = b'{"a":{"dtype":"U8","shape":[2],"data_offsets":[%d,%d]}}'
    return {
        "two": whole,
        "none": safetensors([]),
        "metadata-only": safetensors([], {"a": "b", "c": ""}),
        "every-type": safetensors(every),
        "empty-tensors": safetensors([("a", "F32", [0], b""), ("b", "F32", [3, 0, 2], b""),
                                      ("c", "U8", [1], b"x")]),
        "eight-axes": safetensors([("a", "U8", [1] * 8, b"x")]),
        "cut": whole[:-1],
        "header-cut": whole[:40],
        "length-huge": b"\xff" * 7 + b"\x7f" + whole[8:],
        "shape-huge": safetensors([("a", "F32", [1 << 31, 1 << 31, 0], b"")]),
        "shape-overflows": safetensors([("a", "F32", [1 << 62, 4], b"")]),
        "overlap": (lambda t: struct.pack("<Q", len(t)) + t + b"xyz")(offsets % (1, 3)),
        "name-control": safetensors([("a\nb\x1b[31m", "F3", [1], b"abcd")]),
        "metadata-list": safetensors([], ["a"]),
        "metadata-number": safetensors([], {"a": 1}),
        "nested": struct.pack("<Q", 4000) + b"[" * 4000,
    }


def tiny_tensors(kind: str = "F32") -> list:
    """The tiny model as files hold it; running_var positive."""
    def values(count: int, start: float) -> bytes:
        numbers = [start + i / 8 for i in range(count)]
        if kind == "BF16":
            return b"".join(struct.pack("<f", x)[2:] for x in numbers)
        return struct.pack(f"<{count}{ {'F32': 'f', 'F16': 'e', 'F64': 'd'}[kind] }", *numbers)
    shapes = [("conv.weight", [CHANNELS, 1, 3, 3]), ("bn.weight", [CHANNELS]),
              ("bn.bias", [CHANNELS]), ("bn.running_mean", [CHANNELS]),
              ("bn.running_var", [CHANNELS]), ("linear.weight", [CLASSES, CHANNELS]),
              ("linear.bias", [CLASSES])]
    out = []
    for name, shape in shapes:
        count = 1
        for n in shape:
            count *= n
        out.append((name, kind, shape, values(count, 0.5)))
    return out


def hollow_vgg11(channels: int, classes: int) -> bytes:
    """All tensors of an architecture, empty: a header that is recognised without metadata and tells
    any number of channels; for each class there is a byte."""
    names = [f"feature.conv_{i}.weight" for i in range(8)]
    names += [f"feature.bn_{i}.{suffix}" for i in range(8)
              for suffix in ("weight", "bias", "running_mean", "running_var")]
    names += ["classifier.linear_0.weight", "classifier.linear_0.bias",
              "classifier.linear_1.weight"]
    header = {name: {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for name in names}
    header["feature.conv_0.weight"]["shape"] = [0, channels, 3, 3]
    header["classifier.linear_1.bias"] = {"dtype": "U8", "shape": [classes],
                                          "data_offsets": [0, classes]}
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + bytes(classes)


def model_file_seeds() -> dict:
    tracked = ("bn.num_batches_tracked", "I64", [], struct.pack("<q", 77))
    tensors = tiny_tensors()
    metadata = {"format": "pt", "model": "resnet20", "classes": "10", "channels": "3",
                "height": "32", "width": "32"}
    nan = [(n, t, s, b"\0\0\xc0\x7f" + v[4:] if n == "linear.bias" else v)
           for n, t, s, v in tensors]
    negative = [(n, t, s, b"\0\0\x80\xbf" + v[4:] if n == "bn.running_var" else v)
                for n, t, s, v in tensors]
    return {
        "f32": safetensors([tracked] + tensors, metadata),
        "f16": safetensors(tiny_tensors("F16")),
        "bf16": safetensors(tiny_tensors("BF16")),
        "f64": safetensors(tiny_tensors("F64")),
        "missing": safetensors(tensors[1:]),
        "extra": safetensors(tensors + [("more", "F32", [1], bytes(4))]),
        "shape": safetensors([("conv.weight", "F32", [36], tensors[0][3])] + tensors[1:]),
        "nan": safetensors(nan),
        "negative-variance": safetensors(negative),
        "metadata-bad": safetensors(tensors, {**metadata, "classes": "70000"}),
        "metadata-large": safetensors(tensors, {**metadata, "classes": "65535", "channels": "4",
                                                "height": "4096", "width": "4096"}),
        "recognised": hollow_vgg11(3, 10),
        "recognised-huge": hollow_vgg11(2147483647, 2),
    }


def convert_seeds() -> dict:
    def rename(content: bytes, *pairs) -> bytes:
        length, = struct.unpack("<Q", content[:8])
        text = content[8:8 + length]
        for ours, theirs in pairs:
            text = text.replace(ours, theirs)
        return struct.pack("<Q", len(text)) + text + content[8 + length:]
    ours = hollow_vgg11(3, 10)
    theirs = [(b"feature.%s_%d." % (kind, i), b"features.%d." % (at + more))
              for i, at in enumerate((0, 4, 8, 11, 15, 18, 22, 25))
              for kind, more in ((b"conv", 0), (b"bn", 1))]
    torchvision = rename(ours, *theirs, (b"classifier.linear_0", b"classifier.0"),
                         (b"classifier.linear_1", b"classifier.3"))
    return {
        "ours": ours,
        "torchvision": torchvision,
        "sequential": rename(ours, *theirs, (b"classifier.linear_0", b"classifier.0"),
                             (b"classifier.linear_1", b"classifier.2")),
        "prefix": rename(torchvision, (b'"features', b'"module.features'),
                         (b'"classifier', b'"module.classifier')),
        "channels-huge": hollow_vgg11(2147483647, 10),
        "many-classes": hollow_vgg11(3, 3000),
        "no-class": hollow_vgg11(3, 0),
        "some": safetensors(tiny_tensors()),
        "linear-only": safetensors([("fc.weight", "F32", [1, 1], bytes(4)),
                                    ("fc.bias", "F32", [1], bytes(4))]),
        "dots": safetensors([("a.b.c.", "U8", [1], b"x"), ("a.b.cd", "U8", [1], b"x")]),
        "none": safetensors([]),
    }


def checkpoint(state, params: int = 5, stats: int = 3, velocity: int = 5, wrapped=None) -> bytes:
    text = json.dumps(wrapped if wrapped is not None else {"metrics_bytes": 64, "state": state},
                      separators=(",", ":")).encode()
    def file(crc: int) -> bytes:
        values = b"".join(struct.pack(f"<{n}f", *range(n)) for n in (params, stats, velocity))
        return struct.pack("<8s4Q2I", b"EXCKPT\0\x02", params, stats, velocity, len(text), crc,
                           0) + text + values
    return file(zlib.crc32(file(0)))


def checkpoint_seeds() -> dict:
    whole = checkpoint({"round": 3, "ledger": LEDGER})
    return {
        "whole": whole,
        "plain": checkpoint({"round": 3}),
        "cut": whole[:-1],
        "header": whole[:48],
        "no-velocity": checkpoint({"round": 3}, velocity=0),
        "other-velocity": checkpoint({"round": 3}, velocity=4),
        "version": whole[:7] + b"\x01" + whole[8:],
        "damaged": whole[:-1] + b"\x7f",
        "other-model": checkpoint({"round": 3}, params=6),
        "other-round": checkpoint({"round": 4}),
        "negative-round": checkpoint({"round": -3}),
        "no-round": checkpoint({}),
        "no-metrics": checkpoint(None, wrapped={"state": {"round": 3}}),
        "negative-metrics": checkpoint(None, wrapped={"metrics_bytes": -1, "state": {"round": 3}}),
        "no-state": checkpoint(None, wrapped={"metrics_bytes": 0, "state": []}),
    }


def mask(layers, **change) -> bytes:
    root = {"model": "tiny", "channels_total": CHANNELS + CLASSES, "channels_selected": 2,
            "layers": layers}
    root.update(change)
    return json.dumps(root).encode()


def mask_seeds() -> dict:
    return {
        "two": mask({"conv": [1, 3]}),
        "both": mask({"conv": [0], "linear": [2]}),
        "empty": mask({}, channels_selected=0),
        "full": mask({"conv": [0, 1, 2, 3], "linear": [0, 1, 2]}, channels_selected=7),
        "twice": mask({"conv": [1, 1]}),
        "no-channel": mask({"conv": [4]}),
        "negative": mask({"conv": [-1]}),
        "not-whole": mask({"conv": [1.5]}),
        "no-layer": mask({"fc": [0]}),
        "other-model": mask({}, model="resnet20"),
        "other-total": mask({}, channels_total=8),
        "no-layers": mask([]),
        "large-number": mask({"conv": [1]}).replace(b"[1]", b"[99999999999999999999]"),
        "cut": mask({"conv": [1, 3]})[:-4],
    }


def message(kind: int, mask_bits: bytes, values: int, round_: int = 7, client: int = 3) -> bytes:
    payload = mask_bits + struct.pack(f"<{values}f", *range(values))
    return struct.pack("<8s4I2Q", b"EXMSG\0\0\x01", kind, round_, client, zlib.crc32(payload),
                       len(mask_bits), values) + payload


def message_seeds() -> dict:
    # A channel of the convolution: 9 weights, scale, shift, mean and variance.
    row, two = 13, 0b0101 << 3
    bits = bytes([0b0101, 0, 0, 0])
    whole = bytes([two]) + message(1, b"", 2 * row)
    return {
        "model": whole,
        "update": bytes([two | 1]) + message(2, b"", 2 * row),
        "with-mask": bytes([two | 4]) + message(1, bits, 2 * row),
        "mask": bytes([two | 2]) + message(3, bits, 0),
        "nothing-selected": bytes([0]) + message(1, b"", 0),
        "other-mask": bytes([two | 2]) + message(3, bytes([0b0110, 0, 0, 0]), 0),
        "padding": bytes([two | 2]) + message(3, bytes([0b0101, 0x80, 0, 0]), 0),
        "other-round": bytes([two]) + message(1, b"", 2 * row, round_=8),
        "other-client": bytes([two]) + message(1, b"", 2 * row, client=4),
        "cut": whole[:-1],
        "header-cut": whole[:30],
        "damaged": whole[:-1] + b"\x55",
    }


def effects(rows: list, digest: int = DIGEST, model: str = "tiny", end: str = "\n",
            version: int = 2, tail: str = " precision=bf16 seed=1") -> bytes:
    lines = [f"# excise effects {version} model={model} digest={digest:016x} ablate=filter{tail}",
             "class,layer,channel,effect,correct,probe,baseline_correct,loss_delta"] + rows
    return (end.join(lines) + end).encode()


def effect_rows(label: int) -> list:
    out = []
    for layer, count in (("conv", CHANNELS), ("linear", CLASSES)):
        for c in range(count):
            correct = 9 - c
            out.append(f"{label},{layer},{c},{(9 - correct) / 10:.9g},{correct},10,9,{c / 16}")
    return out


def effects_seeds() -> dict:
    rows = effect_rows(1)
    return {
        "one-class": effects(rows),
        "first-format": effects(rows, version=1, tail=""),
        "unknown": effects(rows, tail=" precision=unknown seed=unknown"),
        "no-precision": effects(rows, tail=""),
        "large-seed": effects(rows, tail=" precision=fp32 seed=9223372036854775808"),
        "two-classes": effects(effect_rows(2) + rows),
        "sorted-otherwise": effects(rows[::-1]),
        "windows": effects(rows, end="\r\n"),
        "no-newline": effects(rows)[:-1],
        "not-finite": effects([rows[0].rsplit(",", 1)[0] + ",nan"]
                              + [rows[1].rsplit(",", 1)[0] + ",-inf"] + rows[2:]),
        "row-missing": effects(rows[:-1]),
        "row-twice": effects(rows + rows[:1]),
        "other-digest": effects(rows, digest=1),
        "other-model": effects(rows, model="resnet20"),
        "no-layer": effects(rows[:-1] + ["1,fc,0,0,9,10,9,0"]),
        "wrong-effect": effects(["1,conv,0,0.5,9,10,9,0"] + rows[1:]),
        "probe-differs": effects(rows[:-1] + ["1,linear,2,0.2,7,11,9,0"]),
        "large-numbers": effects(["1,conv,0,0,2147483647,2147483647,2147483647,1e308"]),
        "fields": effects(["1,conv,0"]),
        "zero-byte": effects(rows).replace(b"conv", b"co\0v", 1),
    }


def config_seeds() -> dict:
    yaml = """# comment
dataset: synthetic
model: resnet20
seed: 3
num_clients: 4
lr: 0.05
partition:
  kind: dirichlet-client
  alpha: 0.3
server: {samples: 100, overlap: false}
unlearn:
  method: "ce"
  class: 2
memory: 512M
"""
    return {
        "file": yaml.encode(),
        "settings": b"lr: 0.1\n\xfflr=0.2\xffpartition.kind=shard\xffdata_dir=/a b\xffmemory=4G",
        "text": 'data_dir: "quoted \\"text\\" \\\\ and \\u00e9"\ndevice: \'cuda:0\'\n'.encode(),
        "empty": b"",
        "comment": b"# nothing\n",
        "unknown": b"learning_rate: 0.1\n",
        "twice": b"lr: 0.1\nlr: 0.2\n",
        "list": b"lr: [0.1, 0.2]\n",
        "reals": b"normalize:\n  mean: [0.485, 0.456, 0.406]\n  std: [0.25]\n"
                 b"\xffnormalize.std=0.5,0.25\xffnormalize.mean=[]\xffnormalize.mean=0.5 0.25",
        "reals-nul": b'normalize: {mean: ["0.5\\0"]}\n',
        "reals-deep": b"normalize: {mean: [[1], {a: 1}]}\n",
        "reals-long": b"normalize: {mean: [" + b"0.5, " * 60 + b"1]}\n",
        "anchor": b"lr: &a 0.1\nmomentum: *a\n",
        "tag": b"lr: !!float 0.1\n",
        "two-documents": b"lr: 0.1\n---\nlr: 0.2\n",
        "section": b"partition: iid\n",
        "deep": b"partition: {kind: {iid: {}}}\n",
        "not-utf8": b"data_dir: \xc3\x28\n",
        "utf16": "lr: 0.1\n".encode("utf-16"),
        "null": b"lr: ~\nseed:\n",
        "key-nul": b'"lr\\0x": 0.1\n',
        "long-text": b"data_dir: " + b"x" * 300 + b"\n",
        "too-many-clients": b"num_clients: 4\nclients_per_round: 5\n",
        "no-sample-left": b"train_samples: 10\nserver: {samples: 10, overlap: false}\n",
        "server-samples": b"train_samples: 10\nserver: {samples: 11}\n",
        "rounds": b"rounds: 16777215\nunlearn: {rounds: 2}\n",
        "ranges": b"\xffseed=9223372036854775807\xffseed=-1\xffmomentum=1\xfflr=1e-320\xffmemory=8796093022207T",
        "separators": "\xfedata_dir=a \u2028 b \u2029 c\ufeffd\ufffe\uffffe\U0001f600".encode().replace(
            b"\xc3\xbe", b"\xff"),
        "spaces": b"\xffdata_dir= a \xffdevice=#\xffcomm_file=- x: y",
    }


PHASE = {"name": "train", "wall_s": 1.5, "compute_s": 1.25, "client_s": None, "samples": 100,
         "rounds": 2, "bytes_up": 10, "bytes_down": 20,
         "bytes": {"model": {"up": 0, "down": 20}, "update": {"up": 10, "down": 0}},
         "stored_samples": None, "stored_bytes": None, "peak_memory_bytes": 4096, "joules": None,
         "clients": [{"client": 0, "seconds": 0.5, "samples": 50, "bytes_up": 5, "bytes_down": 10},
                     {"client": 3, "seconds": 0.5, "samples": 50, "bytes_up": 5,
                      "bytes_down": 10}]}
LEDGER = {"schema": 1, "phases": [PHASE]}


def ledger_seeds() -> dict:
    def phases(*rows) -> bytes:
        return json.dumps({"schema": 1, "phases": list(rows)}).encode()
    client = PHASE["clients"][0]
    return {
        "one": phases(PHASE),
        "two": phases(PHASE, {**PHASE, "name": "ablation", "clients": []}),
        "none": phases(),
        "same-name": phases(PHASE, PHASE),
        "long-name": phases({**PHASE, "name": "x" * 32}),
        "many": phases(*({**PHASE, "name": f"p{i}", "clients": []} for i in range(17))),
        "last-client": phases({**PHASE, "clients": [{**client, "client": (1 << 20) - 1}]}),
        "client-too-large": phases({**PHASE, "clients": [{**client, "client": 1 << 20}]}),
        "clients-backwards": phases({**PHASE, "clients": PHASE["clients"][::-1]}),
        "rounds-large": phases({**PHASE, "rounds": 1 << 31}),
        "negative": phases({**PHASE, "samples": -1}),
        "large-real": phases({**PHASE, "samples": 1e300}),
        "schema": json.dumps({"schema": 2, "phases": []}).encode(),
    }


def progress_seeds() -> dict:
    accuracy = {"correct": [1, 2, 0], "count": [3, 3, 4], "loss": 0.5}
    point = {"epoch": 1, "forget_test": 0.25, "retain_test": 0.75, "forget_probe": None,
             "seconds": 1.5}
    state = {"round": 1, "command": "unlearn", "digest": "0123456789abcdef", "batches": 5,
             "ledger": LEDGER, "earlier": LEDGER, "selected": "fedcba9876543210", "effects": {"measured": True, "baseline_loss": 0.125},
             "before": {"test": accuracy, "train": accuracy}, "trace": [point]}

    def change(**more) -> bytes:
        return json.dumps({**state, **more}).encode()

    def accuracies(**more) -> bytes:
        return change(before={"test": {**accuracy, **more}, "train": accuracy})
    return {
        "whole": change(),
        "begun": change(round=0, trace=[], before=None, effects=None),
        "old": json.dumps({k: v for k, v in state.items() if k not in ("earlier", "selected")}).encode(),
        "earlier-bad": change(earlier={"schema": 1, "phases": {}}),
        "selected-bad": change(selected="0"),
        "given": change(effects={"measured": False, "baseline_loss": None}),
        "other-trace": change(round=2),
        "no-digest": change(digest=None),
        "digest-bad": change(digest="xyz"),
        "two-classes": accuracies(correct=[1, 2]),
        "negative": accuracies(correct=[-1, 2, 0]),
        "not-whole": accuracies(correct=[0.5, 2, 0]),
        "more-than-all": accuracies(correct=[4, 2, 0]),
        "sum-overflows": accuracies(correct=[1, 2, 0], count=[1 << 62, 1 << 62, 1 << 62]),
        "no-seconds": change(trace=[{"epoch": 1}]),
        "epoch-large": change(trace=[{**point, "epoch": 1 << 40}]),
        "trace-of-text": change(trace=["x"]),
        "ledger-bad": change(ledger={"schema": 2}),
        "phases-bad": change(ledger={"schema": 1, "phases": [1, {"name": 2}]}),
    }


def algorithms_seeds() -> dict:
    def file(algorithms, **change) -> bytes:
        return json.dumps({"schema": 1, "device": "$DEVICE", "algorithms": algorithms,
                           **change}).encode()
    key = "train n128 c16 h32 w32 k16 r3 s3 stride1 pad1 bias relu src16 dst16 threads1"
    return {
        "two": file({key: "direct", key.replace("train", "eval"): "winograd"}),
        "own": file({key.replace("train", "weights"): "rows", key.replace("train", "data"): "tiles",
                     key.replace("train", "eval"): "pixels"}),
        "twice": file({key: "direct"})[:-2] + f', "{key}": "tiles"}}}}'.encode(),
        "none": file({}),
        "other-device": file({key: "direct"}, device="another"),
        "no-device": file({key: "direct"}, device=None),
        "schema": file({key: "direct"}, schema=2),
        "unknown": file({key: "fft"}),
        "not-text": file({key: 1}),
        "old": file({key.replace(" src16 dst16", ""): "direct"}),
        "long-keys": file({"k" * 127 + "a": "direct", "k" * 127 + "b": "pixels"}),
        "no-algorithms": json.dumps({"schema": 1, "device": "$DEVICE"}).encode(),
        "list": file(["direct"]),
        "cut": file({key: "direct"})[:-3],
    }


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(
        ">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *more, interlace=0) -> bytes:
    head = struct.pack(">2I5B", width, height, bits, colour, 0, 0, interlace)
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + b"".join(more)
            + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b""))


def jpeg(width: int, height: int, components: int = 1, progressive: bool = False) -> bytes:
    """All grey: each table has one code, of one bit, which says that nothing follows."""
    def segment(marker: int, content: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content
    tables = b"".join(segment(0xC4, bytes([kind]) + b"\x01" + bytes(15) + b"\0")
                      for kind in (0x00, 0x10))
    ids = range(1, components + 1)
    frame = struct.pack(">BHHB", 8, height, width, components) + b"".join(
        bytes([i, 0x11, 0]) for i in ids)
    def scan(first: int, last: int, chosen, bits_per_block: int) -> bytes:
        blocks = -(-width // 8) * -(-height // 8)
        bits = blocks * len(chosen) * bits_per_block
        body = bytes(bits // 8) + (bytes([0xFF >> bits % 8]) if bits % 8 else b"")
        return segment(0xDA, bytes([len(chosen)]) + b"".join(bytes([i, 0]) for i in chosen)
                       + bytes([first, last, 0])) + body
    if progressive:
        scans = scan(0, 0, ids, 1) + b"".join(scan(1, 63, [i], 1) for i in ids)
    else:
        scans = scan(0, 63, ids, 2)
    return (b"\xff\xd8" + segment(0xDB, b"\0" + b"\x01" * 64)
            + segment(0xC2 if progressive else 0xC0, frame) + tables + scans + b"\xff\xd9")


def picture_seeds() -> dict:
    rgb = b"".join(b"\0" + bytes(range(9 * y, 9 * y + 9)) for y in range(2))
    whole = png(3, 2, 8, 2, rgb)
    palette = png_chunk(b"PLTE", bytes(range(12)))
    return {
        "rgb": whole,
        "grey": png(3, 2, 8, 0, b"\0\1\2\3" * 2),
        "grey-1": png(9, 2, 1, 0, b"\0\xa5\x80" * 2),
        "grey-16": png(2, 1, 16, 0, b"\0\1\2\3\4"),
        "palette": png(4, 2, 2, 3, b"\0\x1b" * 2, palette),
        "palette-clear": png(4, 2, 2, 3, b"\0\x1b" * 2, palette, png_chunk(b"tRNS", b"\0\x80")),
        "palette-short": png(4, 2, 8, 3, b"\0\0\1\2\xff" * 2, palette),
        "rgba": png(2, 1, 8, 6, b"\0" + bytes(range(8))),
        "filters": png(2, 5, 8, 2, b"".join(bytes([f]) + bytes(range(6)) for f in range(5))),
        "interlaced": png(2, 2, 8, 2, b"\0abc" + b"\0def" + b"\0ghijkl", interlace=1),
        "gamma": png(3, 2, 8, 2, rgb, png_chunk(b"gAMA", struct.pack(">I", 100000))),
        "text": png(3, 2, 8, 2, rgb, png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(4096)))),
        "profile": png(3, 2, 8, 2, rgb, png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(999)))),
        "cut": whole[:-20],
        "rows-missing": png(3, 3, 8, 2, rgb),
        "large": png(4097, 1, 8, 2, rgb),
        "claims-much": png(4096, 4096, 8, 2, rgb),
        "no-side": png(0, 2, 8, 2, b""),
        "sum-wrong": whole[:30] + b"\0" + whole[31:],
        "jpeg": jpeg(16, 8, 3),
        "jpeg-grey": jpeg(9, 9),
        "jpeg-progressive": jpeg(16, 8, 3, True),
        "jpeg-many-scans": (lambda j: j[:-2] + j[j.rindex(b"\xff\xda"):-2] * 150 + j[-2:])(
            jpeg(16, 8, 3, True)),
        "jpeg-cmyk": jpeg(16, 8, 4),
        "jpeg-cut": jpeg(16, 8, 3)[:-3],
        "jpeg-claims-much": jpeg(4096, 4096)[:300],
        "jpeg-start": b"\xff\xd8\xff",
        "gif": b"GIF89a",
    }


def folder_seeds() -> dict:
    wide, garbage, folder = 4, 5, 6

    def lay(flags: int, *entries) -> bytes:
        return bytes([flags]) + b"".join(bytes([what]) + path.encode() + b"\0"
                                         for what, path in entries)
    two = [(0, "a/1.png"), (1, "a/2.PNG"), (2, "b/1.jpeg"), (3, "b/2.jpg")]
    parts = [(i, f"{part}/{name}/{i}.png") for part in ("train", "test") for name in "ab"
             for i in range(2)]
    return {
        "two": lay(40, *two),
        "grey": lay(128 + 127, *two),
        "parts": lay(0, *parts),
        "parts-more": lay(0, *parts, (0, "test/c/1.png")),
        "parts-empty-class": lay(0, *parts, (folder, "train/c")),
        "train-alone": lay(30, *parts[:4], (0, "b/1.png")),
        "one-class": lay(0, (0, "a/1.png")),
        "nothing": lay(0),
        "wide": lay(0, *two, (wide, "b/3.png")),
        "garbage": lay(0, *two, (garbage, "b/3.png")),
        "others": lay(0, *two, (garbage, "b/notes.txt"), (garbage, "x"), (0, ".hidden/1.png")),
        "picture-is-folder": lay(0, *two, (folder, "b/3.png")),
        "deep": lay(0, *two, (0, "b/more/1.png")),
        "names": lay(0, (0, "\n/1.png"), (1, "\x1b[31m/.png.png"), (2, "\u00e9 \u2028/\x7f.png")),
    }


def classes_seeds() -> dict:
    def file(count: int, text: str, content: bytes) -> bytes:
        return bytes([count - 1]) + text.encode() + b"\xff" + content
    return {
        "three": file(3, "b", b"a\nb\nc\n"),
        "no-newline": file(3, "C", b"a\nb\nc"),
        "windows": file(2, "ankle-boot", b"T-shirt/top\r\nAnkle boot\r\n"),
        "nearest": file(4, "shrit", b"shirt\nskirt\nshort\nsandal\n"),
        "fewer": file(3, "a", b"a\nb\n"),
        "more": file(2, "a", b"a\nb\nc\n"),
        "twice": file(2, "a", b"a\na\n"),
        "control": file(2, "\x1b", b"\x1b[31m\n\xc2\x9b\n"),
        "zero": file(2, "a", b"a\0b\nc\n"),
        "long": file(2, "x" * 300, b"x" * 300 + b"\n" + b"\xc3\xa9" * 100),
        "empty": file(1, "", b""),
    }


def meet_seeds() -> dict:
    mine, first = 0x1111111111111111, 0x2222222222222222

    def card(number: int, accepted: int = 0, status: int = 0, gpu: bytes = b"0000:01:00.0",
             why: bytes = b"") -> bytes:
        return struct.pack("<2Q64s64s64s160sq", number, accepted, b"host", b"boot", gpu, why,
                           status)

    def notice(cards: bytes, size: int = 3, opened: int = 1) -> bytes:
        return struct.pack("<Q2i128s", first, size, opened, b"id") + cards
    three = card(first) + card(mine) * 2
    return {
        "first": b"\0" + card(5, mine) + card(6, mine),
        "first-not-accepted": b"\0" + card(5, mine) + card(6),
        "first-not-there": b"\0",
        "second": b"\1" + notice(three),
        "third": b"\2" + notice(three),
        "closed": b"\1" + notice(three, opened=0),
        "other-size": b"\1" + notice(three, size=4),
        "stranger": b"\1" + notice(card(first) * 3),
        "cut": b"\1" + notice(three)[:-1],
        "goes-on": b"\1" + notice(three) + b"x",
        "no-ends": b"\0" + card(5, mine, 1 << 40, b"g" * 64, b"w" * 160) * 2,
        "no-ends-second": b"\2" + notice(card(first, status=-1, gpu=b"g" * 64) + card(mine) * 2),
    }


def arguments_seeds() -> dict:
    train, evaluate, ablate, unlearn, convert, devices = range(6)

    def line(command: int, text: str) -> bytes:
        return bytes([command]) + b"".join(w.encode() + b"\0" for w in text.split(" "))
    return {
        "train": line(train, "-c exp.yaml -s lr=0.1 --seed 3 -o run"),
        "resume": line(train, "--resume -o run -q"),
        "resume-overwrite": line(train, "--resume --overwrite -o run"),
        "joined": line(train, "-cexp.yaml --seed=3 --profile=p.csv -orun --memory=4G"),
        "eval": line(evaluate, "run --json --train --class 3"),
        "ablate": line(ablate, "run --class all --strategy naive -o effects.csv"),
        "unlearn": line(unlearn, "run --method ce --class 3 --delta 0.1 -o run2"),
        "two-subjects": line(unlearn, "run other -o run2"),
        "no-subject": line(evaluate, "--json"),
        "convert": line(convert, "in out --from pytorch --shape 3x32x32"),
        "one-file": line(convert, "in --from pytorch"),
        "devices": line(devices, "--json"),
        "help": line(devices, "--help nothing"),
        "short-help": line(train, "-qvh"),
        "unknown": line(train, "--learning-rate 3"),
        "unknown-letter": line(train, "-qZq"),
        "ambiguous": line(train, "--s lr=1"),
        "twice": line(train, "-c a -c b"),
        "forgotten": line(train, "-c --seed 3"),
        "last": line(train, "-o"),
        "flag-value": line(train, "--quiet=yes"),
        "dashes": line(evaluate, "-- -run"),
        "many": line(train, "-o run" + " -s lr=1" * 18),
        "long": line(train, "-s data_dir=" + "x" * 400),
        "bad": line(train, "-o run --seed -1 --precision fp8 --lanes \x1b[31m"),
    }


def main() -> None:
    root = pathlib.Path(sys.argv[1])
    for target, seeds in {
            "idx": idx_seeds(), "cifar": cifar_seeds(), "safetensors": safetensors_seeds(),
            "model_file": model_file_seeds(), "convert": convert_seeds(), "checkpoint": checkpoint_seeds(),
            "mask": mask_seeds(), "message": message_seeds(), "effects": effects_seeds(),
            "config": config_seeds(), "ledger": ledger_seeds(),
            "algorithms": algorithms_seeds(), "progress": progress_seeds(),
            "picture": picture_seeds(), "folder": folder_seeds(), "classes": classes_seeds(),
            "meet": meet_seeds(), "arguments": arguments_seeds()}.items():
        folder = root / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in seeds.items():
            (folder / f"seed-{name}").write_bytes(content)


if __name__ == "__main__":
    main()
