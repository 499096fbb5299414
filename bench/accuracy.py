#!/usr/bin/env python3
"""Whether training in another precision ends at the same accuracy: several seeds of either, by turns.

    accuracy.py EXCISE -o OUT [options]      see --help

Trains one configuration in fp32 and in bf16, with the same seeds, hence the same samples, clients
and first values. A run's accuracy is the mean over its last rounds, which a single round would make
a matter of luck. Prints a line for each seed, then what the means differ by beside what seeds differ
by, and a JSON object. Exit status: 0 the means differ by no more than the seeds of fp32 do among
themselves (largest less smallest), 1 they differ by more, or a run failed, 2 bad options.

A run that is complete in OUT is not run again; OUT belongs to one configuration and one commit.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# Ten clients of 2,000 images: the average of as many models moves less from round to round than one.
CONFIG = os.path.join(HERE, "demo_fashion_mnist.yaml")
SETTINGS = ["rounds=8", "lr=0.05"]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("excise", help="the program")
    parser.add_argument("-o", dest="out", required=True, help="folder of the runs")
    parser.add_argument("-c", dest="config", help="the configuration (bench/demo_fashion_mnist.yaml "
                        f"with {', '.join(SETTINGS)})")
    parser.add_argument("-s", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--precisions", nargs=2, default=["fp32", "bf16"], metavar=("BASE", "OTHER"))
    parser.add_argument("--last", type=int, default=3, help="rounds that are averaged (3)")
    options = parser.parse_args()
    if len(set(options.seeds)) < max(2, len(options.seeds)):
        parser.error("--seeds takes two or more, each once: one has no spread")
    if len(set(options.precisions)) < 2:
        parser.error("--precisions takes two that differ")
    if options.last < 1:
        parser.error("--last takes 1 or more")
    if not os.access(options.excise, os.X_OK):
        parser.error(f"{options.excise} is no program that can be run; build it first")
    if options.config and not os.path.isfile(options.config):
        parser.error(f"{options.config} is not there")
    if os.path.exists(options.out) and not os.path.isdir(options.out):
        parser.error(f"{options.out} is there and is no folder")
    return options


def settings_of(options):
    return options.settings if options.config else SETTINGS + options.settings


def train(options, seed, precision):
    """The folder of a complete run."""
    run = os.path.join(options.out, f"{precision}-{seed}")
    if os.path.exists(os.path.join(run, "report.json")):
        return run
    command = [options.excise, "train", "-c", options.config or CONFIG, "-o", run, "--overwrite",
               "--quiet", "--seed", str(seed), "--precision", precision]
    for setting in settings_of(options):
        command += ["-s", setting]
    print(f"==> {precision}, seed {seed}", file=sys.stderr)
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        sys.exit(1)
    return run


def measure(run, last):
    with open(os.path.join(run, "metrics.jsonl"), encoding="utf-8") as file:
        rounds = [json.loads(line) for line in file]
    if len(rounds) < last:
        sys.exit(f"error: --last {last} asks for more than the {len(rounds)} rounds of {run}")
    end = rounds[-last:]
    if any(r["test_loss"] is None for r in end):
        sys.exit(f"error: {run} has diverged: its test loss is not finite")
    return {"accuracy": statistics.mean(r["test_accuracy"] for r in end),
            "test_loss": statistics.mean(r["test_loss"] for r in end),
            "train_loss": statistics.mean(r["train_loss"] for r in end),
            "seconds": sum(r["seconds"] for r in rounds)}


def build_of(excise):
    """The first lines of its --version: version and commit."""
    done = subprocess.run([excise, "--version"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: {excise} --version gave {done.returncode}; {excise} is no excise")
    return "\n".join(done.stdout.splitlines()[:2])


def check_request(options):
    """Runs of another request, or of another build, are no answer to this one."""
    with open(options.config or CONFIG, encoding="utf-8") as file:
        request = "\n".join([build_of(options.excise)] + settings_of(options)) + "\n" + file.read()
    os.makedirs(options.out, exist_ok=True)
    path = os.path.join(options.out, "request.txt")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            if file.read() != request:
                sys.exit(f"error: {options.out} holds runs of another configuration or build; name "
                         "another")
    with open(path, "w", encoding="utf-8") as file:
        file.write(request)


def spread(values):
    return max(values) - min(values)


def judge(options, rows):
    base, other = ([row[p]["accuracy"] for row in rows] for p in options.precisions)
    difference = statistics.mean(other) - statistics.mean(base)
    return {"precisions": options.precisions, "seeds": options.seeds, "last": options.last,
            "accuracy": {p: [row[p]["accuracy"] for row in rows] for p in options.precisions},
            "mean": {p: statistics.mean(v) for p, v in zip(options.precisions, (base, other))},
            "deviation": {p: statistics.stdev(v) for p, v in zip(options.precisions, (base, other))},
            "spread": {p: spread(v) for p, v in zip(options.precisions, (base, other))},
            "difference": difference, "within": abs(difference) <= spread(base),
            "runs": rows}


def show(result):
    base, other = result["precisions"]
    print(f"# test accuracy, the mean of the last {result['last']} rounds; seconds: of training")
    print(f"#{'seed':<9} {base:>9} {other:>9} {'other less':>10} {base:>9} {other:>9}")
    print(f"#{'':<9} {'%':>9} {'%':>9} {'%':>10} {'s':>9} {'s':>9}")
    for seed, row in zip(result["seeds"], result["runs"]):
        a, b = (row[p]["accuracy"] * 100 for p in result["precisions"])
        print(f" {seed:<9} {a:>9.2f} {b:>9.2f} {b - a:>+10.2f} {row[base]['seconds']:>9.1f} "
              f"{row[other]['seconds']:>9.1f}")
    for name in ("mean", "deviation", "spread"):
        a, b = (result[name][p] * 100 for p in result["precisions"])
        print(f" {name:<9} {a:>9.2f} {b:>9.2f}" + (f" {b - a:>+10.2f}" if name == "mean" else ""))
    word = "within" if result["within"] else "beyond"
    print(f"# the means differ by {abs(result['difference']) * 100:.2f} %, {word} the spread of "
          f"{base}'s seeds, {result['spread'][base] * 100:.2f} %")


def main():
    options = parse()
    check_request(options)
    rows = []
    for i, seed in enumerate(options.seeds):
        # Who comes first changes from seed to seed, for the sake of the seconds.
        order = options.precisions if i % 2 == 0 else options.precisions[::-1]
        row = {p: measure(train(options, seed, p), options.last) for p in order}
        rows.append({p: row[p] for p in options.precisions})
    result = judge(options, rows)
    show(result)
    print(json.dumps(result))
    return 0 if result["within"] else 1


if __name__ == "__main__":
    sys.exit(main())
