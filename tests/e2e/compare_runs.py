"""Compares two run folders, or two files, byte by byte. Times and peak memory are measured, so they are
left out, and nothing else. Says what differs; exit status 1 then."""
import json
import os
import sys

MEASURED = {"seconds", "client_seconds", "wall_s", "compute_s", "client_s", "ablation_s",
            "peak_memory_bytes"}


def strip(value):
    if isinstance(value, dict):
        return {k: strip(v) if k not in MEASURED else type(v).__name__ for k, v in value.items()}
    return [strip(v) for v in value] if isinstance(value, list) else value


def content(path):
    with open(path, "rb") as file:
        data = file.read()
    if path.endswith(".jsonl"):
        return [json.dumps(strip(json.loads(line))) for line in data.decode().splitlines()]
    if path.endswith(("report.json", "ledger.json")):
        return json.dumps(strip(json.loads(data)), indent=1).splitlines()
    return data


def object_or_bytes(path):
    """What a command prints: one JSON object, if it is one."""
    with open(path, "rb") as file:
        data = file.read()
    return strip(json.loads(data)) if data.startswith(b"{") else data


def main(expected, found):
    if not os.path.isdir(expected):
        same = object_or_bytes(expected) == object_or_bytes(found)
        if not same:
            print(f"{expected} and {found} differ")
        return 0 if same else 1
    wrong = []
    if set(os.listdir(expected)) != set(os.listdir(found)):
        wrong.append(f"files: {sorted(os.listdir(expected))} and {sorted(os.listdir(found))}")
    for name in sorted(set(os.listdir(expected)) & set(os.listdir(found)) - {"checkpoint"}):
        a, b = (content(os.path.join(folder, name)) for folder in (expected, found))
        if a == b:
            continue
        lines = [(x, y) for x, y in zip(a, b) if x != y] if isinstance(a, list) else []
        wrong.append(f"{name}: {lines[0] if lines else 'differs'}")
    rounds = [sorted(os.listdir(os.path.join(f, "checkpoint"))) for f in (expected, found)]
    if rounds[0] != rounds[1]:
        wrong.append(f"checkpoints: {rounds[0]} and {rounds[1]}")
    for line in wrong:
        print(f"{found}/{line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
