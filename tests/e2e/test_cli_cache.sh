#!/usr/bin/env bash
# What was timed is kept on the machine: two fresh runs take the same algorithms and give the same bits.
source "$(dirname "$0")/cli_common.sh"

export EXCISE_CACHE=$work/cache
quick=(-c tiny.yaml -s conv=auto -s rounds=1 -s train_samples=64 -s test_samples=40 -s server.samples=20)
succeeds train "${quick[@]}" -o first
set -- cache/algorithms/*.json
[ $# -eq 1 ] || fail "the cache holds: $*"
file=$1
present "$file"

# --- as if timed otherwise: a run, and what starts from a bare model, takes it and writes it to its folder
sed -E 's/"(pixels|winograd|tiles)"/"direct"/' "$file" >turned && cp turned "$file"
succeeds train "${quick[@]}" -o second
json second/algorithms.json 'set(d["algorithms"].values()) == {"direct"}'
succeeds train "${quick[@]}" -o third
same third/model.safetensors second/model.safetensors
same third/algorithms.json second/algorithms.json
same "$file" turned
succeeds eval first/model.safetensors "${quick[@]}"
cp "$file" evaluated
succeeds eval second/model.safetensors "${quick[@]}"
same "$file" evaluated

# --- a file of the run's own comes first
succeeds train "${quick[@]}" --algorithms first/algorithms.json -o again
same again/algorithms.json first/algorithms.json
same again/model.safetensors first/model.safetensors

# --- damaged: told of, timed again, replaced
truncate -s 100 "$file"
succeeds eval second/model.safetensors "${quick[@]}"
has err "warning: what earlier runs chose is timed again, and their file replaced: $work/$file"
json "$file" '"algorithms" in d'

# --- the user's folder by default; none where nothing can be written, or as EXCISE_CACHE says
unset EXCISE_CACHE
export HOME=$work/home XDG_CACHE_HOME=
succeeds eval second/model.safetensors "${quick[@]}"
present home/.cache/excise/algorithms/*.json
for HOME in "$work/tiny.yaml" ""; do
    succeeds eval second/model.safetensors "${quick[@]}"
    ! grep -q warning err || fail "a cache that cannot be is told of"
done
HOME=$work/other EXCISE_CACHE=off succeeds eval second/model.safetensors "${quick[@]}"
absent other
