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


def effects(rows: list, digest: int = DIGEST, model: str = "tiny", end: str = "\n") -> bytes:
    lines = [f"# excise effects 1 model={model} digest={digest:016x} ablate=filter",
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
        "spaces": b"\xffdata_dir= a \xffdevice=#\xffunlearn.method=- x: y",
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
             "ledger": LEDGER, "effects": {"measured": True, "baseline_loss": 0.125},
             "before": {"test": accuracy, "train": accuracy}, "trace": [point]}

    def change(**more) -> bytes:
        return json.dumps({**state, **more}).encode()

    def accuracies(**more) -> bytes:
        return change(before={"test": {**accuracy, **more}, "train": accuracy})
    return {
        "whole": change(),
        "begun": change(round=0, trace=[], before=None, effects=None),
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
    key = "train n128 c16 h32 w32 k16 r3 s3 stride1 pad1 bias relu threads1"
    return {
        "two": file({key: "direct", key.replace("train", "eval"): "winograd"}),
        "none": file({}),
        "other-device": file({key: "direct"}, device="another"),
        "no-device": file({key: "direct"}, device=None),
        "schema": file({key: "direct"}, schema=2),
        "unknown": file({key: "fft"}),
        "not-text": file({key: 1}),
        "long-keys": file({"k" * 111 + "a": "direct", "k" * 111 + "b": "pixels"}),
        "no-algorithms": json.dumps({"schema": 1, "device": "$DEVICE"}).encode(),
        "list": file(["direct"]),
        "cut": file({key: "direct"})[:-3],
    }


def main() -> None:
    root = pathlib.Path(sys.argv[1])
    for target, seeds in {
            "idx": idx_seeds(), "cifar": cifar_seeds(), "safetensors": safetensors_seeds(),
            "model_file": model_file_seeds(), "convert": convert_seeds(), "checkpoint": checkpoint_seeds(),
            "mask": mask_seeds(), "message": message_seeds(), "effects": effects_seeds(),
            "config": config_seeds(), "ledger": ledger_seeds(),
            "algorithms": algorithms_seeds(), "progress": progress_seeds()}.items():
        folder = root / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in seeds.items():
            (folder / f"seed-{name}").write_bytes(content)


if __name__ == "__main__":
    main()
