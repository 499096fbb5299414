"""Compares two run folders, or two files, byte by byte. Left out are times and peak memory, which are
measured, and what of a checkpoint follows from them: how long metrics.jsonl was, and the checksum.
Says what differs; exit status 1 then."""
import json
import os
import struct
import sys

MEASURED = {"seconds", "client_seconds", "wall_s", "compute_s", "client_s", "ablation_s",
            "peak_memory_bytes", "metrics_bytes"}
CHECKPOINT = struct.Struct("<8s4QII")  # ex_checkpoint_header in engine/run_impl.h


def strip(value):
    if isinstance(value, dict):
        return {k: strip(v) if k not in MEASURED else type(v).__name__ for k, v in value.items()}
    return [strip(v) for v in value] if isinstance(value, list) else value


def lines_of(text):
    return json.dumps(strip(json.loads(text)), indent=1).splitlines()


def checkpoint(data):
    magic, params, stats, velocity, json_bytes, _, _ = CHECKPOINT.unpack_from(data)
    values = CHECKPOINT.size + json_bytes
    if len(data) != values + 4 * (params + stats + velocity):
        raise ValueError(f"a checkpoint of {len(data)} bytes is not of the size that it tells")
    state = lines_of(data[CHECKPOINT.size:values])
    return [magic, params, stats, velocity, *state, f"values {data[values:].hex()}"]


def content(path):
    with open(path, "rb") as file:
        data = file.read()
    if path.endswith(".jsonl"):
        return [json.dumps(strip(json.loads(line))) for line in data.decode().splitlines()]
    if path.endswith(("report.json", "ledger.json")):
        return lines_of(data)
    if path.endswith(".bin"):
        return checkpoint(data)
    return data


def object_or_bytes(path):
    """What a command prints: one JSON object, if it is one."""
    with open(path, "rb") as file:
        data = file.read()
    return strip(json.loads(data)) if data.startswith(b"{") else data


def files(folder):
    return {os.path.relpath(os.path.join(place, name), folder)
            for place, _, names in os.walk(folder) for name in names}


def difference(a, b):
    pairs = [(x, y) for x, y in zip(a, b) if x != y] if isinstance(a, list) else []
    return " and ".join(str(side)[:200] for side in pairs[0]) if pairs else "differs"


def main(expected, found):
    if not os.path.isdir(expected):
        same = object_or_bytes(expected) == object_or_bytes(found)
        if not same:
            print(f"{expected} and {found} differ")
        return 0 if same else 1
    wrong = []
    if files(expected) != files(found):
        wrong.append(f"files: {sorted(files(expected))} and {sorted(files(found))}")
    for name in sorted(files(expected) & files(found)):
        a, b = (content(os.path.join(folder, name)) for folder in (expected, found))
        if a != b:
            wrong.append(f"{name}: {difference(a, b)}")
    for line in wrong:
        print(f"{found}/{line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
