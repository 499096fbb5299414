#!/usr/bin/env bash
# scripts/plot_run.py draws one run and several, also one that still goes on, and says what is missing.
source "$(dirname "$0")/cli_common.sh"
script=$tests/../../scripts/plot_run.py

plot() {
    "$python" "$script" "$@" >out 2>err
}

# without MODULE COMMAND...: as if Python had no such module.
without() {
    mkdir -p hidden
    echo 'raise ImportError("hidden")' >"hidden/$1.py"
    shift
    PYTHONPATH=$work/hidden plot "$@"
    local code=$?
    rm -r hidden
    return $code
}

# drawn FOLDER FIGURE WORDS...: as PNG and SVG of sane size, with the words as text in the SVG.
drawn() {
    python3 - "$@" <<'PY' || fail "$1/$2 is not as expected"
import os, re, struct, sys
folder, figure, *words = sys.argv[1:]
with open(f"{folder}/{figure}.png", "rb") as file:
    head = file.read(24)
width, height = struct.unpack(">II", head[16:24])
assert head[:8] == b"\x89PNG\r\n\x1a\n" and 600 < width < 4000 and 150 < height < 4000, (width, height)
assert 5e3 < os.path.getsize(f"{folder}/{figure}.png") < 2e6
text = open(f"{folder}/{figure}.svg", encoding="utf-8").read()
assert 5e3 < len(text) < 5e6, len(text)
shown = re.findall(r"<text[^>]*>([^<]*)</text>", text)
missing = [word for word in words if word not in shown]
assert not missing, f"{figure}.svg lacks {missing}; it has {shown}"
PY
}

# --- TensorBoard: a stand-in for its package writes down what it gets
mkdir -p standin/tensorboard/{compat/proto,summary/writer} made/{first,second}
cat >standin/tensorboard/compat/proto/summary_pb2.py <<'PY'
class Summary:
    class Value:
        def __init__(self, tag, simple_value):
            self.tag, self.simple_value = tag, simple_value

    def __init__(self, value):
        self.value = value
PY
cat >standin/tensorboard/compat/proto/event_pb2.py <<'PY'
class Event:
    def __init__(self, wall_time, step, summary):
        self.wall_time, self.step, self.summary = wall_time, step, summary
PY
cat >standin/tensorboard/summary/writer/event_file_writer.py <<'PY'
import json
import os


class EventFileWriter:
    def __init__(self, logdir, filename_suffix):
        self.file = open(os.path.join(logdir, "events.out.tfevents.1" + filename_suffix), "x")

    def add_event(self, event):
        for value in event.summary.value:
            print(json.dumps([event.wall_time, event.step, value.tag, value.simple_value]),
                  file=self.file)

    def close(self):
        self.file.close()
PY
cat >made/first/metrics.jsonl <<'JSON'
{"round":1,"phase":"train","seconds":2.5,"test_loss":2.25,"test_accuracy":0.5,"bytes_up":7}
{"round":2,"phase":"train","seconds":4,"test_loss":null,"test_accuracy":0.75,"bytes_up":0}
JSON
echo '{"round":3,"phase":"unlearn","seconds":1,"forget_test":0,"per_class":[0,1]}' >made/second/metrics.jsonl
touch -d @1000 made/*/metrics.jsonl
# An event for each number of a line, at the moment when its round ended.
sort >expected-first <<'JSON'
[996.0, 1, "train/bytes_up", 7]
[996.0, 1, "train/seconds", 2.5]
[996.0, 1, "train/test_accuracy", 0.5]
[996.0, 1, "train/test_loss", 2.25]
[1000.0, 2, "train/bytes_up", 0]
[1000.0, 2, "train/seconds", 4]
[1000.0, 2, "train/test_accuracy", 0.75]
JSON
sort >expected-second <<'JSON'
[1000.0, 3, "unlearn/forget_test", 0]
[1000.0, 3, "unlearn/seconds", 1]
JSON
# export_events PACKAGES PYTHON: of both runs, into the folder made-events.
export_events() {
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$1:$tests/../../scripts "$2" - 2>err <<'PY' || fail "no events are written"
import run_data
runs = run_data.read_runs(["made/first", "made/second"])
run_data.write_tensorboard(runs, "made-events")
PY
}
for call in first second; do # the second replaces what the first has written
    export_events "$work/standin" python3
    for run in first second; do
        sort made-events/$run/events.out.tfevents.1.excise >got
        cmp -s got expected-$run || fail "the events of $run, $call call: $(diff expected-$run got)"
    done
done
echo kept >made-events/first/events.out.tfevents.1.other
export_events "$work/standin" python3
has made-events/first/events.out.tfevents.1.other kept
rm -r made-events

python=
for candidate in "${PYTHON:-python3}" /usr/bin/python3; do
    if "$candidate" -c 'import matplotlib' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    python=python3
    mkdir run
    echo '{"round":1,"phase":"train"}' >run/metrics.jsonl
    plot run && fail "no complaint about missing matplotlib"
    has err "scripts/setup.sh --plots"
    echo "no Python with matplotlib: skipped (scripts/setup.sh --plots installs it)"
    exit 77
fi

# --- several runs
small=(-s server.threads=1 -s lanes=1 -s train_samples=200 -s test_samples=100)
succeeds train -c tiny.yaml "${small[@]}" -s rounds=2 -o train
succeeds unlearn train --method ce --class 1 -s unlearn.stop_forget=-1 -o ce
succeeds unlearn train --method de --class 1 --effects ce/effects.csv -o de
plot train ce de -o plots || fail "plotting three runs"
drawn plots rounds train ce de "accuracy (%)" "cross-entropy (nats)" "seconds per round or epoch" \
    "megabytes per round or epoch" "round or epoch" "test, the class that goes" "none: ce"
drawn plots effects "layer, from input to output" "ce: class 1" "de: class 1" layer3.block_2.conv_bn2.conv \
    linear "a channel selected for unlearning" \
    "effect of a channel: fall of the class's accuracy without it (percentage points)"
drawn plots costs "wall time by phase (seconds)" "messages in all (megabytes)" train ablation unlearn \
    evaluate "clients to server" "server to clients"
cp -r plots first
plot train ce de -o plots || fail "plotting over plots"
for figure in rounds effects costs; do
    same plots/$figure.svg first/$figure.svg
done

# --- what is drawn are the values of the files, each under its name
mkdir -p known/{one,two}
cat >known/one/metrics.jsonl <<'JSON'
{"round":1,"phase":"train","seconds":2,"train_loss":2.5,"test_loss":2.25,"train_accuracy":0.25,"test_accuracy":0.5,"retain_test":0.625,"forget_test":0.75,"bytes_up":3000000,"bytes_down":5000000}
{"round":2,"phase":"train","seconds":4,"train_loss":1.5,"test_loss":1.25,"train_accuracy":0.375,"test_accuracy":0.875,"retain_test":0.9375,"forget_test":0.125,"bytes_up":2000000,"bytes_down":7000000}
JSON
cp known/one/metrics.jsonl known/two
cat >known/one/ledger.json <<'JSON'
{"phases": [{"name": "evaluate", "wall_s": 1.5, "bytes_up": 0, "bytes_down": 0},
            {"name": "train", "wall_s": 6, "bytes_up": 5000000, "bytes_down": 12000000},
            {"name": "unlearn", "wall_s": 2.5, "bytes_up": 1000000, "bytes_down": 3000000},
            {"name": "ablation", "wall_s": 0.5, "bytes_up": 0, "bytes_down": 0}]}
JSON
cat >known/one/effects.csv <<'CSV'
class,layer,channel,effect
3,first,0,0.25
3,first,1,-0.125
3,second,0,0.5
CSV
echo '{"layers": {"first": [1], "second": [0]}}' >known/one/mask.json
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$tests/../../scripts "$python" - 2>err <<'PY' || fail "other values are drawn than are in the files"
import plot_run
import run_data

plt = plot_run.import_matplotlib()
runs = run_data.read_runs(["known/one", "known/two"])


def check(got, expected):
    assert got == expected, f"drawn: {got}; in the files: {expected}"


def look(line):
    return repr((line._dash_pattern, line.get_linewidth()))


# Panel by panel a line for each quantity, named by what the legend says of its dashes and width.
drawn = {}
for axes in plot_run.draw_rounds(plt, runs[:1]).axes:
    legend = axes.get_legend()
    names = {look(line): line.get_label() for line in (legend.get_lines() if legend else [])}
    drawn[axes.get_ylabel()] = {names.get(look(line), ""): line.get_xydata().tolist()
                                for line in axes.get_lines()}
check(drawn, {
    "accuracy (%)": {"test": [[1, 50], [2, 87.5]], "training": [[1, 25], [2, 37.5]],
                     "test, other classes": [[1, 62.5], [2, 93.75]],
                     "test, the class that goes": [[1, 75], [2, 12.5]]},
    "cross-entropy (nats)": {"test": [[1, 2.25], [2, 1.25]], "training": [[1, 2.5], [2, 1.5]]},
    "seconds per round or epoch": {"": [[1, 2], [2, 4]]},
    "megabytes per round or epoch": {"clients to server": [[1, 3], [2, 2]],
                                     "server to clients": [[1, 5], [2, 7]]}})

# Bars by the legend's words, each as [start, length].
for axes, expected in zip(plot_run.draw_costs(plt, runs).axes, [
        {"train": [0, 6], "ablation": [6, 0.5], "unlearn": [6.5, 2.5], "evaluate": [9, 1.5]},
        {"clients to server": [0, 6], "server to clients": [6, 15]}]):
    handles, names = axes.get_legend_handles_labels()
    check({name: [bars[0].get_x(), bars[0].get_width()] for bars, name in zip(handles, names)}, expected)

# Channels by colour, at percentage points and the row of their layer; means are black.
axes = plot_run.draw_effects(plt, runs, 3).axes[0]
check([tick.get_text() for tick in axes.get_yticklabels()], ["first", "second"])
points = {}
for line in axes.get_lines()[:-1]:  # the last is the axis itself
    points.setdefault(line.get_color(), []).extend(line.get_xydata().tolist())
check(points, {plot_run.OTHER: [[25, 0]], plot_run.SELECTED: [[-12.5, 0], [50, 1]],
               "black": [[6.25, 0], [50, 1]]})
PY

# --- a run alone, while it goes on: a line a round is there at once, and one half written does no harm
"$excise" train -c tiny.yaml "${small[@]}" -s rounds=1000 -o long >/dev/null 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; rm -rf "$work"' EXIT
wait_for 60 test -s long/metrics.jsonl
[ "$(tail -c 1 long/metrics.jsonl | wc -l)" -eq 1 ] || fail "a line of metrics.jsonl is not whole"
mkdir watched
cp long/metrics.jsonl watched
kill -TERM $pid
wait $pid
printf '{"round":2,"ph' >>watched/metrics.jsonl
plot watched -o one || fail "plotting a run that goes on"
has err "watched is not finished"
drawn one rounds watched "accuracy (%)"
absent one/costs.png one/effects.png

# --- what is missing is said
plot nowhere && fail "no complaint about a folder that is not there"
has err "nowhere/metrics.jsonl"
plot train ce --class 7 -o other && fail "no complaint about a class without effects"
has err "class 7"
echo 'not,a,table' >train/effects.csv
echo 'of,effects,here' >>train/effects.csv
plot train -o other && fail "no complaint about a damaged table"
has err "train/effects.csv"
rm train/effects.csv
# damaged FILE CONTENT: drawing says which file it is, on one line.
damaged() {
    rm -rf spoilt
    cp -r ce spoilt
    printf '%b' "$2" >spoilt/$1
    plot spoilt -o other && fail "no complaint about $1 that holds $2"
    has err "spoilt/$1"
    [ "$(wc -l <err)" -eq 1 ] || fail "more than a line about $1 that holds $2"
}
damaged metrics.jsonl '[1]\n'
damaged metrics.jsonl '{"round":"x"}\n'
damaged metrics.jsonl '{"round":1,"seconds":"long"}\n'
damaged metrics.jsonl '{"round":1,"test_loss":1e999}\n'
damaged metrics.jsonl '\xff\n'
damaged report.json '[]'
damaged ledger.json '{"phases":[{"name":1}]}'
damaged ledger.json '{"phases":[{"name":"train","wall_s":"x"}]}'
damaged mask.json '{"layers":[1]}'
damaged effects.csv 'class,layer,channel,effect\n1,a,0,nan\n'
without matplotlib train -o other && fail "no complaint about missing matplotlib"
has err "scripts/setup.sh --plots"
without tensorboard train -o other --tensorboard events && fail "no complaint about missing tensorboard"
has err "pip install tensorboard"
absent events
if "$python" -c 'import tensorboard' 2>/dev/null; then
    plot train ce -o other --tensorboard events || fail "writing TensorBoard events"
    [ "$(find events/train events/ce -name 'events.out.tfevents.*' -size +0 | wc -l)" -eq 2 ] ||
        fail "no two files of events"
    export_events '' "$python"
    "$python" - 2>err <<'PY' || fail "TensorBoard reads other events than were written"
import glob
import json

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

for run in "first", "second":
    [path] = glob.glob(f"made-events/{run}/*.excise")
    events = [Event.FromString(record) for record in RawEventFileLoader(path).Load()]
    got = [[event.wall_time, event.step, value.tag, value.simple_value]
           for event in events for value in event.summary.value]
    with open("expected-" + run, encoding="utf-8") as file:
        expected = [json.loads(line) for line in file]
    assert sorted(got) == sorted(expected), (got, expected)
PY
else
    echo "no Python with tensorboard: only the stand-in has seen the events"
fi
