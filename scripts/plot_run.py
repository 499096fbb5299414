#!/usr/bin/env python3
"""Draws run folders of excise, one or several side by side.

    scripts/plot_run.py RUN... [-o FOLDER] [--class K] [--tensorboard FOLDER]

Writes to FOLDER (default: plots), each as .png and .svg:

    rounds    accuracy, loss, seconds and bytes of every round or epoch, from metrics.jsonl
    effects   the effect of every channel on the class, by layer, from effects.csv and mask.json
    costs     seconds and bytes by phase, from ledger.json

A run that still goes on is drawn as far as it is. What no run has a file for is not drawn.
Needs matplotlib: scripts/setup.sh --plots, or pip install matplotlib.
"""
import argparse
import math
import os
import sys

import run_data

# Okabe and Ito's colours, told apart by most of the colour-blind.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
PARTS = ["#4477AA", "#CCBB44", "#AA3377", "#BBBBBB", "#66CCEE", "#228833"]  # of bars: other ones
SELECTED, OTHER = "#D55E00", "#9AA7B0"  # channels
MARKED_ROUNDS = 40  # up to so many, each is marked
LEGEND_LETTERS = 140  # across a figure
TITLE_LETTERS = 30  # of a narrow panel
LOG_RATIO = 50  # values that differ more are drawn on a logarithmic axis

MARKERS = "os^DvPX"  # of runs
# Of quantities: dashes, width, opacity. The wide one shows under another that has the same values.
SOLID, DASHED = ("-", 1.6, 1.0), ((0, (5, 2)), 1.6, 1.0)
DOTTED, MIXED = ((0, (1, 1.5)), 1.6, 1.0), ((0, (6, 2, 1, 2)), 1.6, 1.0)
WIDE = ("-", 6, 0.3)

# Panels: title, axis, factor, limits of the axis (None: as the values need), whether runs with
# nothing but zeros are named, and quantities: legend, line, key of metrics.jsonl, and the key of the
# report's "before" where it has one.
PANELS = [
    ("Accuracy", "accuracy (%)", 100, (-3, 103), False,
     [("test", SOLID, "test_accuracy", None), ("training", DASHED, "train_accuracy", None),
      ("test, other classes", MIXED, "retain_test", "retain_test"),
      ("test, the class that goes", DOTTED, "forget_test", "forget_test")]),
    ("Loss", "cross-entropy (nats)", 1, None, False,
     [("test", SOLID, "test_loss", None), ("training", DASHED, "train_loss", None)]),
    ("Computing", "seconds per round or epoch", 1, None, False,
     [("compute", SOLID, "seconds", None)]),
    ("Messages", "megabytes per round or epoch", 1e-6, None, True,
     [("clients to server", WIDE, "bytes_up", None),
      ("server to clients", SOLID, "bytes_down", None)]),
]
PHASES = ["train", "ablation", "unlearn", "evaluate"]


def import_matplotlib():
    try:
        import matplotlib
    except ImportError:
        sys.exit(f"error: {sys.executable} has no matplotlib: run scripts/setup.sh --plots (which "
                 "serves Debian's /usr/bin/python3), or pip install matplotlib")
    matplotlib.use("Agg")
    matplotlib.rcParams.update({
        "svg.fonttype": "none", "svg.hashsalt": "excise", "font.size": 10, "axes.grid": True,
        "grid.color": "#E5E5E5", "axes.axisbelow": True, "axes.spines.top": False,
        "axes.spines.right": False, "legend.frameon": False, "figure.dpi": 110})
    import matplotlib.pyplot
    return matplotlib.pyplot


def colour(i):
    return COLOURS[i % len(COLOURS)]


def marker(i):
    return MARKERS[i % len(MARKERS)]


def save(figure, folder, name):
    for ending in ("png", "svg"):
        path = os.path.join(folder, f"{name}.{ending}")
        undated = {"Date": None} if ending == "svg" else None
        figure.savefig(path, bbox_inches="tight", metadata=undated)
        print(path)


def legend_above(plt, figure, runs, top):
    """The runs' colours in one row, or a few, above the panels."""
    columns = LEGEND_LETTERS // (8 + max(len(run.name) for run in runs))
    handles = [plt.Line2D([], [], color=colour(i), linewidth=3, marker=marker(i), markersize=8,
                          markerfacecolor="white", label=run.name)
               for i, run in enumerate(runs)]
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, top),
                  ncol=max(1, min(len(runs), columns)))


# --- rounds ---------------------------------------------------------------------------------

def points(run, key, before):
    rounds, values = run.series(key)
    if before and rounds and run.before(before) is not None:
        return [0] + rounds, [run.before(before)] + values
    return rounds, values


def draw_panel(axes, runs, factor, quantities):
    """Lines of all runs; gives the quantities that a run has, and the values drawn. Where lines lie
    on each other, an earlier run's markers are the larger ones around a later run's."""
    used, drawn = [], []
    for legend, line, key, before in quantities:
        for i, run in enumerate(runs):
            rounds, values = points(run, key, before)
            if not rounds:
                continue
            values = [factor * value for value in values]
            axes.plot(rounds, values, color=colour(i), linewidth=line[1], alpha=line[2],
                      linestyle=line[0], markerfacecolor="none", markeredgewidth=1.2,
                      marker=marker(i) if line != WIDE and len(rounds) <= MARKED_ROUNDS else None,
                      markersize=4 + 1.5 * (len(runs) - 1 - i))
            drawn += values
            if (legend, line) not in used:
                used.append((legend, line))
    return used, drawn


def scale(axes, values):
    positive = [value for value in values if value > 0]
    if positive and max(positive) > LOG_RATIO * min(positive):
        axes.set_yscale("log", nonpositive="mask")
        axes.set_ylim(min(positive) / 2, max(positive) * 2)
        return
    top = 1.08 * max(values, default=0) or 1
    axes.set_ylim(-0.03 * top, top)


def whole_rounds(plt, axes, runs):
    last = max(row["round"] for run in runs for row in run.rows)
    axes.xaxis.set_major_locator(plt.MaxNLocator(integer=True, nbins=8))
    first = 0 if any(run.before("forget_test") is not None for run in runs) else 1
    axes.set_xlim(first - 0.03 * last, 1.03 * last)


def quiet_runs(runs, quantities):
    """Those with zeros only, which a logarithmic axis has no place for and others hide."""
    keys = [key for _, _, key, _ in quantities]
    return [run.name for run in runs if not any(any(run.series(key)[1]) for key in keys)]


def legend_beside_title(plt, axes, used, quiet):
    handles = [plt.Line2D([], [], color="#555555", linestyle=line[0], linewidth=line[1],
                          alpha=line[2], label=legend)
               for legend, line in used]
    if quiet:
        handles.append(plt.Line2D([], [], linestyle="none", label="none: " + ", ".join(quiet)))
    if len(handles) > 1:
        axes.legend(handles=handles, fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 1.0),
                    ncol=2, borderaxespad=0.2, handlelength=2.6)


def draw_rounds(plt, runs):
    figure, grid = plt.subplots(2, 2, figsize=(11, 8), constrained_layout=True)
    for axes, (title, label, factor, limits, name_quiet, quantities) in zip(grid.flat, PANELS):
        used, drawn = draw_panel(axes, runs, factor, quantities)
        axes.set_title(title, loc="left", fontweight="bold")
        axes.set_xlabel("round or epoch")
        axes.set_ylabel(label)
        whole_rounds(plt, axes, runs)
        if limits:
            axes.set_ylim(*limits)
        else:
            scale(axes, drawn)
        quiet = quiet_runs(runs, quantities) if name_quiet else []
        legend_beside_title(plt, axes, used, quiet)
    legend_above(plt, figure, runs, 1.0)
    return figure


# --- effects --------------------------------------------------------------------------------

def draw_effect_panel(axes, run, label, layers):
    table = run.effects[label]
    for y, layer in enumerate(layers):
        effects = table.get(layer, [])
        for selected in (False, True):
            x = [100 * effect for channel, effect in enumerate(effects)
                 if run.is_selected(layer, channel) == selected]
            axes.plot(x, [y] * len(x), linestyle="none", marker="|", markersize=9,
                      markeredgewidth=1.4, color=SELECTED if selected else OTHER)
        if effects:
            axes.plot(100 * sum(effects) / len(effects), y, marker="D", color="black", markersize=4)
    axes.axvline(0, color="#555555", linewidth=0.8)
    name = run.name if len(run.name) <= TITLE_LETTERS else "…" + run.name[1 - TITLE_LETTERS:]
    axes.set_title(f"{name}: {run.class_title(label)}", fontsize=10)


def draw_effects(plt, runs, label):
    """A panel a run, with the layers' rows in common; None if no run has effects of the class."""
    shown = [(run, run.label() if label is None else label) for run in runs if run.effects]
    shown = [(run, k) for run, k in shown if k in run.effects]
    if not shown:
        return None
    layers = list(dict.fromkeys(layer for run, k in shown for layer in run.effects[k]))
    figure, grid = plt.subplots(
        1, len(shown), sharex=True, sharey=True, squeeze=False, constrained_layout=True,
        figsize=(3.2 + max(3.0 * len(shown), 5), 1.6 + 0.27 * len(layers)))
    for axes, (run, k) in zip(grid.flat, shown):
        draw_effect_panel(axes, run, k, layers)
    grid[0][0].set_yticks(range(len(layers)), layers)
    grid[0][0].set_ylim(len(layers) - 0.4, -0.6)
    grid[0][0].set_ylabel("layer, from input to output")
    figure.supxlabel("effect of a channel: fall of the class's accuracy without it "
                     "(percentage points)", fontsize=10)
    marks = [("|", OTHER, "a channel"), ("|", SELECTED, "a channel selected for unlearning"),
             ("D", "black", "the layer's mean")]
    if not any(run.mask for run, _ in shown):
        del marks[1]
    figure.legend(handles=[plt.Line2D([], [], linestyle="none", marker=marker, color=c, label=text,
                                      markeredgewidth=1.4) for marker, c, text in marks],
                  loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3)
    return figure


# --- costs ----------------------------------------------------------------------------------

def stack_bars(axes, runs, parts, amount, unit):
    """A bar a run, of the parts one after the other, with the sum at its end."""
    ends = [0.0] * len(runs)
    for i, part in enumerate(parts):
        lengths = [amount(run, part) for run in runs]
        if any(lengths):
            axes.barh(range(len(runs)), lengths, left=ends, height=0.6,
                      color=PARTS[i % len(PARTS)], label=part)
        ends = [end + length for end, length in zip(ends, lengths)]
    for y, end in enumerate(ends):
        axes.annotate(f"{end:.3g} {unit}" if end < 1000 else f"{end:.0f} {unit}", (end, y),
                      xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_xlim(0, 1.18 * max(ends) or 1)
    axes.set_yticks(range(len(runs)), [run.name for run in runs])
    axes.set_ylim(len(runs) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    if any(ends):
        axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=4)


def phases_of(run):
    return {phase["name"]: phase for phase in run.ledger.get("phases", [])}


def draw_costs(plt, runs):
    runs = [run for run in runs if run.ledger]
    if not runs:
        return None
    others = sorted({name for run in runs for name in phases_of(run)} - set(PHASES))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 1.7 + 0.5 * len(runs)), sharey=True,
                                         constrained_layout=True)
    stack_bars(left, runs, PHASES + others,
               lambda run, phase: phases_of(run).get(phase, {}).get("wall_s") or 0, "s")
    left.set_xlabel("wall time by phase (seconds)")
    keys = {"clients to server": "bytes_up", "server to clients": "bytes_down"}
    stack_bars(right, runs, list(keys),
               lambda run, part: math.fsum(p.get(keys[part]) or 0
                                           for p in phases_of(run).values()) / 1e6, "MB")
    right.set_xlabel("messages in all (megabytes)")
    return figure


# --- the program ----------------------------------------------------------------------------

def parse(arguments):
    here = "scripts/plot_run.py"
    called = os.environ.get("EXCISE_CALLED", here)  # what an installation calls it
    parser = argparse.ArgumentParser(prog=called, description=__doc__.replace(here, called),
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("-o", "--output", default="plots", metavar="FOLDER")
    parser.add_argument("--class", dest="label", type=int, metavar="K",
                        help="class of the effects; default: the one that the run unlearned")
    parser.add_argument("--tensorboard", metavar="FOLDER",
                        help="also write the rounds as TensorBoard events, a folder a run")
    return parser.parse_args(arguments)


def export(runs, folder):
    try:
        run_data.write_tensorboard(runs, folder)
    except ImportError as error:
        sys.exit(f"error: {sys.executable} has no TensorBoard ({error}), which --tensorboard needs: "
                 "pip install tensorboard")
    print(folder)


def main():
    options = parse(sys.argv[1:])
    try:
        runs = run_data.read_runs(options.runs)
        plt = import_matplotlib()
        os.makedirs(options.output, exist_ok=True)
        figures = {"rounds": draw_rounds(plt, runs),
                   "effects": draw_effects(plt, runs, options.label),
                   "costs": draw_costs(plt, runs)}
        for name, figure in figures.items():
            if figure:
                save(figure, options.output, name)
        if options.label is not None and not figures["effects"]:
            sys.exit(f"error: no run has effects of class {options.label}")
        if options.tensorboard:
            export(runs, options.tensorboard)
    except (run_data.RunError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
