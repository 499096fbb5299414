#!/usr/bin/env python3
"""What gpu_check.sh found, as gpu_check.json and gpu_check.txt.

    gpu_report.py figure JSON MIB_BEFORE MEMORY_LOG     a figure to show, and its JSON with the memory
    gpu_report.py write OUT GPU EXCISE COMMIT           both files, of OUT/rows.tsv and figures.tsv
"""
import datetime
import json
import os
import platform
import subprocess
import sys

PRECISIONS = ("tf32", "fp32", "bf16")


def figure(text, before, log):
    """Fails unless the text is an object with a median and its unit."""
    found = json.loads(text)
    shown = "%.4g %s" % (found["median"], found["unit"])
    with open(log) as file:
        used = [int(line) for line in file if line.strip().isdigit()]
    if used:
        found["device_mib"] = max(0, max(used) - int(before))
    print(shown)
    print(json.dumps(found))


def read_rows(out):
    with open(os.path.join(out, "rows.tsv")) as file:
        return [dict(zip(("part", "what", "result", "detail"), line.rstrip("\n").split("\t")))
                for line in file]


def read_figures(out):
    figures = {}
    with open(os.path.join(out, "figures.tsv")) as file:
        for line in file:
            what, text = line.rstrip("\n").split("\t", 1)
            figures[what] = json.loads(text)
    return figures


def best(figures, start):
    """The name of the least median whose name begins so, or None."""
    names = [name for name in figures if name.startswith(start)]
    return min(names, key=lambda name: figures[name]["median"]) if names else None


def ratios(figures):
    """The peer's fastest way over ours: above 1, ours is faster."""
    found = {}
    for what, ours in figures.items():
        job = what[:-len(" excise")]
        peer = best(figures, job + " pytorch") if what.endswith(" excise") else None
        if peer:
            found[job] = {"ratio": figures[peer]["median"] / ours["median"], "peer": peer}
    return found


# --- targets: each gives (measured, with what) for a precision, or None -------------------------

def clients_over(peer):
    def target(figures, precision):
        ours = best(figures, f"clients resnet20 {precision} excise")
        theirs = best(figures, f"step resnet20 {precision} pytorch {peer}")
        if ours and theirs:
            return figures[theirs]["median"] / figures[ours]["median"], f"{ours}; {theirs}"
        return None
    return target


def compiled(figures, precision):
    """The peer's fastest way but eager."""
    others = {name: f for name, f in figures.items() if not name.endswith(" eager")}
    return clients_over("")(others, precision)


def ablation_seconds(figures, precision):
    name = best(figures, f"ablate resnet20 {precision} excise")
    # the target is for 1,000 images
    if name and figures[name].get("probe") == 1000:
        return figures[name]["median"], name
    return None


def memory_share(figures, precision):
    ours, theirs = (f"step resnet20 {precision} {who}" for who in ("excise", "pytorch eager"))
    used = [figures.get(name, {}).get("device_mib") for name in (ours, theirs)]
    if all(used):
        return used[0] / used[1], f"{ours}: {used[0]} MiB; {theirs}: {used[1]} MiB"
    return None


TARGETS = (
    ("training resnet20, batch 128, ten clients: times as fast as PyTorch eager", "at least", 8,
     clients_over("eager")),
    ("training resnet20, batch 128, ten clients: times as fast as PyTorch's best compiled form",
     "at least", 2, compiled),
    ("ablation of all of resnet20, 1,000 probe images: seconds", "below", .15, ablation_seconds),
    ("GPU memory of a training step of resnet20, batch 128: share of PyTorch's", "at most", .5,
     memory_share),
)


def targets(figures):
    """One row each, of the precision in which it comes nearest; the others beside it."""
    rows = []
    for what, sense, wanted, measure in TARGETS:
        found = {p: m for p in PRECISIONS for m in [measure(figures, p)] if m}
        choose = max if sense == "at least" else min
        row = {"target": what, "sense": sense, "wanted": wanted, "measured": None,
               "precision": None, "met": None, "of": None,
               "by_precision": {p: m[0] for p, m in found.items()}}
        if found:
            p = choose(found, key=lambda name: found[name][0])
            value = found[p][0]
            met = {"at least": value >= wanted, "at most": value <= wanted,
                   "below": value < wanted}[sense]
            row.update(measured=value, precision=p, met=met, of=found[p][1])
        rows.append(row)
    return rows


def target_line(row):
    wanted = f"{row['sense']} {row['wanted']:g}"
    if row["measured"] is None:
        return f"target {wanted:13} not measured          {row['target']}"
    met = "met" if row["met"] else "missed"
    return f"target {wanted:13} {row['measured']:<8.3g} {row['precision']} {met:7} {row['target']}"


# --- the two files ------------------------------------------------------------------------------

def devices_of(excise):
    try:
        return json.loads(subprocess.run([excise, "devices", "--json"], capture_output=True,
                                         text=True, check=False).stdout)
    except (OSError, ValueError):
        return None


def write_whole(path, text):
    with open(path + ".part", "w") as file:
        file.write(text)
    os.replace(path + ".part", path)


def write(out, gpu, excise, commit):
    rows, figures = read_rows(out), read_figures(out)
    failed = [row for row in rows if row["result"] == "failed"]
    compared, wanted = ratios(figures), targets(figures)
    report = {
        "schema": 1, "gpu": gpu or None, "machine": platform.platform(), "commit": commit or None,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "devices": devices_of(excise), "rows": rows, "targets": wanted, "figures": figures,
        "ratios": compared, "failed": len(failed)}
    lines = [f"gpu_check on {gpu or 'a machine without a GPU'}", ""]
    lines += [f"{r['part']:9} {r['what']:45} {r['result']:12} {r['detail']}".rstrip() for r in rows]
    lines += [""] + [f"{job}: {r['ratio']:.2f} times as fast as {r['peer']}"
                     for job, r in compared.items()]
    if figures:
        lines += [target_line(row) for row in wanted]
    lines += [f"{len(failed)} failed" if failed else "nothing failed"]
    text = "\n".join(lines) + "\n"
    write_whole(os.path.join(out, "gpu_check.json"), json.dumps(report, indent=2) + "\n")
    write_whole(os.path.join(out, "gpu_check.txt"), text)
    print(text, end="")


if __name__ == "__main__":
    {"figure": figure, "write": write}[sys.argv[1]](*sys.argv[2:])
