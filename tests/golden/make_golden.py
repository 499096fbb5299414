#!/usr/bin/env python3
"""Writes tests/data/golden/*.gold with PyTorch: `make_golden.py [FOLDER]`, a few minutes.

    --only TEXT    write only files whose name contains TEXT
    --search    look for image seeds again (needed after a change of formula or start values) and
                print them, to be put into CASES below

Values come from float64 runs. A case is kept only where PyTorch's float32 agrees with them ten
times better than the C tests' tolerance asks (steps.AGREEMENT), and where no ReLU or max pool is
close to a turn (margin.py); otherwise this script stops.
"""
import argparse
import os

import torch

import ablation
import rounds
import steps
from golden_file import GoldenFile
from setting import Setting
from steps import Case

CASES = {
    ("resnet20", "cifar"): [Case("train1", 1, 1), Case("train7", 7, 4),
                            Case("train33", 33, 34, nesterov=True),
                            Case("frozen7", 7, 1, frozen=True)],
    ("resnet20", "fashion"): [Case("train1", 1, 1), Case("train7", 7, 1), Case("train33", 33, 4),
                              Case("frozen7", 7, 2, frozen=True)],
    ("vgg11", "cifar"): [Case("train1", 1, 1), Case("train7", 7, 4), Case("train33", 33, 1),
                         Case("frozen7", 7, 1, frozen=True)],
    ("vgg11", "fashion"): [Case("train1", 1, 1), Case("train7", 7, 2)],
    ("resnet20-projection", "cifar"): [Case("train7", 7, 7), Case("frozen7", 7, 1, frozen=True)],
    ("resnet18", "cifar"): [Case("train7", 7, 3), Case("frozen7", 7, 1, frozen=True)],
    # In training the norm takes a bias away again: its gradient is rounding, so frozen norms only.
    ("vgg11-head1", "cifar"): [Case("frozen7", 7, 1, frozen=True)],
    ("cnn", "cifar"): [Case("train1", 1, 1), Case("train7", 7, 3)],
}
EVALUATE = Case("eval", 33, 5)


def write_steps(folder, only, search):
    for (model, shape), cases in CASES.items():
        if only not in f"{model}_{shape}":
            continue
        setting, out = Setting(model, shape), GoldenFile()
        steps.write_start(out, setting)
        for case in cases:
            if search:
                print(setting.name, case.name, "seed", steps.search(setting, case), flush=True)
            steps.write_case(out, setting, case)
        steps.write_eval(out, setting, EVALUATE)
        size = out.write(os.path.join(folder, setting.name + ".gold"))
        print(f"{setting.name}: {len(out.arrays)} arrays, {size / 1e6:.2f} MB", flush=True)


def write_small(folder):
    """Rounds and ablation of resnet20 on 16x16 images."""
    setting = Setting("resnet20", "small")
    out = GoldenFile()
    steps.write_start(out, setting)
    rounds.write_rounds(out, setting)
    ablation.write_ablation(out, setting)
    size = out.write(os.path.join(folder, setting.name + ".gold"))
    print(f"{setting.name}: {len(out.arrays)} arrays, {size / 1e6:.2f} MB", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("folder", nargs="?", default=os.path.join(here, "..", "data", "golden"))
    parser.add_argument("--only", default="")
    parser.add_argument("--search", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    os.makedirs(args.folder, exist_ok=True)
    if args.only in "resnet20_small":
        write_small(args.folder)
    write_steps(args.folder, args.only, args.search)


if __name__ == "__main__":
    main()
