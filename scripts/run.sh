#!/usr/bin/env bash
# The main job: installs what is missing, builds, gets the data, trains a federated model, finds the
# channels of one class, unlearns it by CE, DE and the controls, retrains without it, and prints one
# table.
#
#   scripts/run.sh [OUT] [--config EXP.yaml] [--class K] [-s key=value]...
#
# OUT (default runs/demo) gets a run folder per step: train, ce, de, de-random, head, retrain, and
# table.txt, table.json. A step that is complete is not run again; an interrupted training goes on.
# An OUT belongs to one configuration and class: another request needs another OUT.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

out=
config=$root/bench/demo_fashion_mnist.yaml
class=1
settings=()
while [ $# -gt 0 ]; do
    case $1 in
    --config) config=${2:?--config needs a file} && shift ;;
    --class) class=${2:?--class needs a number or a name} && shift ;;
    -s) settings+=(-s "${2:?-s needs key=value}") && shift ;;
    -h | --help) print_usage ;;
    -*) die "unknown option $1; see scripts/run.sh --help" ;;
    *)
        [ -z "$out" ] || die "two output folders: $out and $1"
        out=$1
        ;;
    esac
    shift
done
out=${out:-$root/runs/demo}
excise=$build/excise

"$root/scripts/setup.sh"
build_tree "$build"

dataset=$(sed -n 's/^dataset:[[:space:]]*\([^[:space:]#]*\).*/\1/p' "$config")
[ -n "$dataset" ] || die "$config names no dataset"
if [ "$dataset" != synthetic ]; then
    "$root/scripts/get_data.sh" "$dataset" "$root/data/$dataset"
    settings+=(-s "data_dir=$root/data/$dataset")
fi

mkdir -p "$out"
# What is complete in OUT must be an answer to this request.
request=$(printf '%s\n' "class $class" "${settings[@]}" && cat "$config")
if [ -e "$out/request.txt" ] && [ "$request" != "$(cat "$out/request.txt")" ]; then
    die "$out holds the results of another configuration or class; name another OUT, or remove it"
fi
printf '%s\n' "$request" >"$out/request.txt"
started=$SECONDS

# A run folder is complete when its report is there: it is written last.
train=$out/train
if [ -s "$train/report.json" ]; then
    say "train: done before"
elif [ -e "$train/config.yaml" ]; then # its first file
    say "train: going on"
    "$excise" train -c "$config" "${settings[@]}" -o "$train" --resume
else
    say "train"
    "$excise" train -c "$config" "${settings[@]}" -o "$train" --overwrite
fi

for method in ce de de-random head retrain; do
    if [ -s "$out/$method/report.json" ]; then
        say "$method: done before"
        continue
    fi
    say "unlearn class $class by $method"
    # One ablation serves both methods that need the effects; ce measures them.
    effects=()
    if [ "$method" = de ]; then
        effects=(--effects "$out/ce/effects.csv")
    fi
    how=--overwrite
    if [ -e "$out/$method/config.yaml" ]; then
        how=--resume
    fi
    "$excise" unlearn "$train" --method "$method" --class "$class" "${effects[@]}" \
        -o "$out/$method" $how
done

say "everything took $((SECONDS - started)) s after the build"
python3 "$root/bench/table.py" "$out"
