"""What plot_run.py reads of a run folder. The standard library is enough."""
import csv
import json
import math
import os
import sys


class RunError(Exception):
    """A folder or file that is not what is expected; the text says what to do."""


class Run:
    """A run folder, finished or still going on. What a missing file would tell is None."""

    def __init__(self, path, name):
        self.path = path
        self.name = name
        self.rows = read_lines(os.path.join(path, "metrics.jsonl"))
        self.report = read_json(os.path.join(path, "report.json"), check_report)
        self.ledger = read_json(os.path.join(path, "ledger.json"), check_ledger)
        self.mask = read_json(os.path.join(path, "mask.json"), check_mask)
        self.effects = read_effects(os.path.join(path, "effects.csv"))

    def before(self, key):
        """A fraction measured before the first epoch or round of an unlearning, or None."""
        return (self.report or {}).get("before", {}).get(key)

    def series(self, key):
        """Rounds and values of a key of metrics.jsonl, as two lists; what was not measured is left
        out."""
        pairs = [(row["round"], row[key]) for row in self.rows
                 if isinstance(row.get(key), (int, float))]
        return [x for x, _ in pairs], [y for _, y in pairs]

    def label(self):
        """The class that the effects are shown of: the one unlearned, else the table's first."""
        labels = list(self.effects) if self.effects else []
        chosen = (self.report or {}).get("class")
        return chosen if chosen in labels else labels[0] if labels else None

    def class_title(self, label):
        """"class 1 (Trouser)", as far as the report tells."""
        report = self.report or {}
        name = report.get("class_name") if report.get("class") == label else None
        return f"class {label} ({name})" if name else f"class {label}"

    def is_selected(self, layer, channel):
        return channel in (self.mask or {}).get("layers", {}).get(layer, [])


def check_number(value, what):
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))
                              or not math.isfinite(value)):
        raise ValueError(f"{what} is {value!r}, a number is expected")


def check_row(row):
    if row["round"] is None:
        raise ValueError("it has no round")
    for key, value in row.items():
        if not isinstance(value, (str, list, dict)) or key in ("round", "seconds"):
            check_number(value, key)


def check_report(report):
    for key, value in (report.get("before") or {}).items():
        if not isinstance(value, list):
            check_number(value, key)


def check_ledger(ledger):
    for phase in ledger["phases"]:
        str.encode(phase["name"])
        for key in ("wall_s", "bytes_up", "bytes_down"):
            check_number(phase.get(key), key)


def check_mask(mask):
    for channels in mask["layers"].values():
        for channel in channels:
            check_number(channel, "a channel")


# What json and a look at what it gives raise where a file is not what it should be.
DAMAGED = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)


def read_lines(path):
    """A dictionary a line. One that is being written, without its end, is left out."""
    try:
        with open(path, "rb") as file:
            lines = [line for line in file if line.endswith(b"\n")]
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}; a run folder of excise is expected") from error
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            check_row(row)
        except DAMAGED as error:
            raise RunError(f"{path}:{number}: no line of metrics: {error}") from error
        rows.append(row)
    if not rows:
        raise RunError(f"{path} has no round yet; wait for the first")
    return rows


def read_json(path, check):
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
        check(value)
        return value
    except FileNotFoundError:
        return None
    except (OSError, *DAMAGED) as error:
        raise RunError(f"{path} is not what excise writes: {error!r}") from error


def read_effects(path):
    """{class: {layer: [effect of channel 0, 1, ...]}}, layers in the network's order; or None."""
    try:
        file = open(path, encoding="utf-8", newline="")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from error
    classes = {}
    with file:
        try:
            rows = csv.DictReader(line for line in file if not line.startswith("#"))
            for row in rows:
                layers = classes.setdefault(int(row["class"]), {})
                effect = float(row["effect"])
                check_number(effect, "an effect")
                layers.setdefault(row["layer"], {})[int(row["channel"])] = effect
        except (OSError, csv.Error, *DAMAGED) as error:
            raise RunError(f"{path}: no table of effects: {error!r}") from error
    return {label: {layer: [effects[i] for i in sorted(effects)]
                    for layer, effects in layers.items()} for label, layers in classes.items()}


def read_runs(paths):
    """A Run for each folder, named by it, or by its whole path where two are called alike."""
    names = [os.path.basename(os.path.abspath(path)) for path in paths]
    runs = [Run(path, name if names.count(name) == 1 else path)
            for path, name in zip(paths, names)]
    for run in runs:
        if run.ledger is None:
            print(f"{run.path} is not finished: no costs of it yet", file=sys.stderr)
    return runs


def write_tensorboard(runs, folder):
    """Every number of metrics.jsonl as a scalar, a folder of events a run, by the package
    `tensorboard`. Replaces what an earlier call has written there."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    suffix = ".excise"
    for run in runs:
        target = os.path.join(folder, run.name.strip(os.sep).replace(os.sep, "_"))
        os.makedirs(target, exist_ok=True)
        for name in os.listdir(target):
            if name.endswith(suffix):
                os.remove(os.path.join(target, name))
        writer = EventFileWriter(target, filename_suffix=suffix)
        # The last line was written when the file was changed last; those before, by their seconds.
        when = os.path.getmtime(os.path.join(run.path, "metrics.jsonl"))
        when -= sum(row.get("seconds") or 0 for row in run.rows)
        for row in run.rows:
            when += row.get("seconds") or 0
            values = [Summary.Value(tag=f"{row.get('phase', 'run')}/{key}", simple_value=value)
                      for key, value in row.items()
                      if key != "round" and isinstance(value, (int, float))]
            writer.add_event(Event(wall_time=when, step=row["round"],
                                   summary=Summary(value=values)))
        writer.close()
