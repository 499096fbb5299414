#!/usr/bin/env bash
# scripts/run.sh goes on wherever it was killed: also between a run's first file and its first
# checkpoint. What sets up the machine and builds is left out.
source "$(dirname "$0")/cli_common.sh"
kill_at=$1/faults/kill_at.so
root=$tests/../..
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0
shrink_jobs "rounds: 1, epochs: 1, probe: 1, stop_forget: -1"

mkdir -p tree/scripts tree/bench
cp "$root/scripts/run.sh" tree/scripts
cp "$root/bench/table.py" tree/bench
sed 's/^build_tree() {/build_tree() { return 0;/' "$root/scripts/common.sh" >tree/scripts/common.sh
printf '#!/bin/sh\n' >tree/scripts/setup.sh
chmod +x tree/scripts/setup.sh
export EXCISE_BUILD=$1

run_script() {
    bash tree/scripts/run.sh out --config tiny.yaml >log 2>err || fail "run.sh gave $?"
    for run in train ce de de-random head retrain; do
        present out/$run/report.json
    done
    has log "retrain"
}

# begun FOLDER ARGUMENTS...: killed with config.yaml and no checkpoint, or nothing in its folder.
begun() {
    local folder=$1 at
    shift
    for ((at = 1; at < 40; at++)); do
        rm -rf "$folder"
        { EXCISE_KILL_AT=$at LD_PRELOAD=$kill_at "$excise" "$@" -o "$folder" >out.txt 2>err; } 2>/dev/null
        [ ! -e "$folder/config.yaml" ] || break
    done
    [ -e "$folder/config.yaml" ] || fail "$folder was never begun"
    [ -z "$(find "$folder" -name 'round-*.bin')" ] || fail "$folder has a checkpoint already"
}

mkdir out
begun out/train train -c tiny.yaml
run_script
rm -r out/ce out/retrain out/head
begun out/ce unlearn out/train --method ce --class 1
begun out/retrain unlearn out/train --method retrain --class 1
run_script
has err "train: done before"
