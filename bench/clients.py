#!/usr/bin/env python3
"""How fast excise trains many clients: whole rounds of `excise train`, on images that it makes up.

    clients.py EXCISE [options]      see --help

Prints one JSON object; median, min and max are milliseconds of one client's step, a round's time
divided by the steps of all clients in it. The first round, which compiles, is left out.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

FILES, MOST = 5, 10000  # a CIFAR-10 set has so many files, of at most so many records
RECORD = 1 + 3 * 32 * 32


def write_records(path, count):
    """Labels 0, 1, ..., 9, 0, ... and noise."""
    with open(path, "wb") as file:
        for first in range(0, count, 1000):
            size = min(1000, count - first)
            block = bytearray(os.urandom(size * RECORD))
            block[::RECORD] = bytes((first + i) % 10 for i in range(size))
            file.write(block)


def write_data(folder, count):
    sizes = [count // FILES + (i < count % FILES) for i in range(FILES)]
    for i, size in enumerate(sizes):
        write_records(os.path.join(folder, f"data_batch_{i + 1}.bin"), size)
    write_records(os.path.join(folder, "test_batch.bin"), 128)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("excise", help="the program")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--lanes", type=int, default=0, help="0: as excise chooses")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--batches", type=int, default=35, help="of a client in an epoch")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3, help="that are measured")
    options = parser.parse_args()
    if options.clients * options.batches * options.batch > FILES * MOST:
        parser.error(f"clients * batches * batch is at most {FILES * MOST}")
    return options


def train(options, folder):
    images = options.clients * options.batches * options.batch
    write_data(folder, images)
    with open(os.path.join(folder, "job.yaml"), "w") as file:
        file.write(f"""dataset: cifar10
data_dir: {folder}
model: {options.model}
num_clients: {options.clients}
rounds: {options.rounds + 1}
local_epochs: {options.epochs}
batch_size: {options.batch}
lr: 0.01
lanes: {options.lanes}
server: {{samples: {min(64, images)}}}
""")
    run = os.path.join(folder, "run")
    done = subprocess.run(
        [options.excise, "train", "-c", os.path.join(folder, "job.yaml"), "-o", run, "--quiet",
         "--device", options.device, "--precision", options.precision],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no word of why")
        sys.exit(done.returncode)
    return run


def main():
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        run = train(options, folder)
        with open(os.path.join(run, "metrics.jsonl")) as file:
            seconds = [json.loads(line)["seconds"] for line in file][1:]
        with open(os.path.join(run, "report.json")) as file:
            report = json.load(file)
    steps = options.clients * options.batches * options.epochs
    samples = [1e3 * s / steps for s in seconds]
    median = statistics.median(samples)
    print(json.dumps({
        "job": "clients", "model": options.model, "clients": options.clients,
        "lanes": options.lanes, "batch": options.batch, "precision": options.precision,
        "unit": "ms", "median": median, "min": min(samples), "max": max(samples),
        "rounds": len(samples), "images_per_second": 1e3 * options.batch / median,
        "device": report.get("device"), "version": report.get("version")}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
