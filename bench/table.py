#!/usr/bin/env python3
"""One table of what unlearning did and cost, from the run folders that scripts/run.sh makes.

    bench/table.py OUT [--json]

Reads OUT/train/report.json and OUT/{ce,de,de-random,head,retrain}/report.json, prints the table,
and writes it to OUT/table.txt and OUT/table.json. What a run did not measure is "-" here and null
there. The standard library is enough.
"""
import argparse
import json
import os
import sys

METHODS = ["ce", "de", "de-random", "head", "retrain"]
MB = 1e6

# Column title, unit, width, digits after the point, key of a row.
COLUMNS = [
    ("forget before", "%", 7, 2, "forget_before"),
    ("forget after", "%", 7, 2, "forget_after"),
    ("retain before", "%", 7, 2, "retain_before"),
    ("retain after", "%", 7, 2, "retain_after"),
    ("compute", "s", 9, 2, "compute_s"),
    ("ablation", "s", 9, 2, "ablation_s"),
    ("up", "MB", 8, 3, "mb_up"),
    ("down", "MB", 8, 3, "mb_down"),
    ("stored samples", "", 8, 0, "stored_samples"),
    ("rounds", "", 7, 0, "rounds"),
    ("speed-up", "x", 9, 1, "speed_up"),
    ("with ablation", "x", 9, 1, "speed_up_with_ablation"),
]


def read_report(out, name):
    path = os.path.join(out, name, "report.json")
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        sys.exit(f"{path}: expected a report, found broken JSON ({error}); run that method again")


def scaled(value, factor):
    return None if value is None else value * factor


def ratio(over, under):
    return over / under if over is not None and under else None


def ablation_of(report, reports):
    """Seconds that a method's effects took; those that another run measured cost it as much."""
    if not report.get("effects"):
        return None
    return next((r["cost"]["ablation_s"] for r in [report, *reports]
                 if r["cost"]["ablation_s"] is not None), None)


def row_of(report, reports, retrain):
    before, after, cost = report["before"], report["after"], report["cost"]
    compute, ablation = cost["compute_s"], ablation_of(report, reports)
    baseline = retrain["cost"]["compute_s"] if retrain else None
    return {
        "method": report["method"],
        "forget_before": scaled(before["forget_test"], 100),
        "forget_after": scaled(after["forget_test"], 100),
        "retain_before": scaled(before["retain_test"], 100),
        "retain_after": scaled(after["retain_test"], 100),
        "compute_s": compute,
        "ablation_s": ablation,
        "mb_up": scaled(cost["bytes_up"], 1 / MB),
        "mb_down": scaled(cost["bytes_down"], 1 / MB),
        "stored_samples": cost["stored_samples"],
        "rounds": cost["rounds"],
        "speed_up": ratio(baseline, compute),
        "speed_up_with_ablation": ratio(baseline, compute + (ablation or 0.0)),
    }


def cell(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def text_of(rows, facts):
    """The table: a title of up to two lines a column, units, then a line a method."""
    lines = [facts, ""]
    first = max(len("method"), *(len(row["method"]) for row in rows))
    for part in (0, 1):
        cells = []
        for title, _, width, _, _ in COLUMNS:
            words = title.split(" ", 1)
            words = words if len(words) == 2 else ["", words[0]]
            cells.append(words[part].rjust(width))
        lines.append(("method" if part else "").ljust(first) + " " + " ".join(cells))
    units = " ".join(unit.rjust(width) for _, unit, width, _, _ in COLUMNS)
    lines.append(" " * first + " " + units)
    for row in rows:
        cells = [cell(row[key], digits).rjust(width) for _, _, width, digits, key in COLUMNS]
        lines.append(row["method"].ljust(first) + " " + " ".join(cells))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("out", help="folder with the run folders train, ce, de, ...")
    parser.add_argument("--json", action="store_true", help="print the JSON instead of the text")
    arguments = parser.parse_args()

    reports = {name: read_report(arguments.out, name) for name in METHODS}
    found = [report for report in reports.values() if report]
    if not found:
        sys.exit(f"{arguments.out}: expected run folders {', '.join(METHODS)} with a report.json, "
                 "found none; run scripts/run.sh")
    rows = [row_of(report, found, reports["retrain"]) for report in found]
    one = found[0]
    named = f" ({one['class_name']})" if one.get("class_name") else ""
    facts = (f"{one['model']} on {one['dataset']}, class {one['class']}{named}, seed {one['seed']}, "
             f"{one['device']} {one['precision']}; test accuracy; compute without evaluation, "
             "ablation and files")
    text = text_of(rows, facts)
    table = {"schema": 1, "model": one["model"], "dataset": one["dataset"], "class": one["class"],
             "class_name": one.get("class_name"), "seed": one["seed"], "device": one["device"],
             "precision": one["precision"], "rows": rows}
    with open(os.path.join(arguments.out, "table.txt"), "w", encoding="utf-8") as file:
        file.write(text)
    with open(os.path.join(arguments.out, "table.json"), "w", encoding="utf-8") as file:
        json.dump(table, file, indent=2)
        file.write("\n")
    print(json.dumps(table) if arguments.json else text, end="\n" if arguments.json else "")


if __name__ == "__main__":
    main()
