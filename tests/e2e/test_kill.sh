#!/usr/bin/env bash
# kill -9 at 50 points of training and unlearning, resumed each time: the folder that comes out is
# that of a run which nobody disturbed, to the bit. Most points are chosen calls, among them writes
# that are cut in half; the others are moments. EXCISE_TEST_SEED repeats a failure.
source "$(dirname "$0")/cli_common.sh"
shim=$1/faults/kill_at.so
[ -e "$shim" ] || fail "$shim is missing"
compare=$tests/compare_runs.py
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0
RANDOM=${EXCISE_TEST_SEED:-$$}
echo "seed ${EXCISE_TEST_SEED:-$$}"

sed -i 's/^train_samples.*/train_samples: 60/; s/^test_samples.*/test_samples: 20/' tiny.yaml
sed -i 's/^num_clients.*/num_clients: 2/; s/^batch_size.*/batch_size: 16/' tiny.yaml
sed -i 's/^server.*/server: {samples: 20, threads: 1}/' tiny.yaml
sed -i 's/^unlearn.*/unlearn: {rounds: 3, epochs: 3, probe: 1, stop_forget: -1, relabel: each}/' tiny.yaml

train=(train -c tiny.yaml)
ce=(unlearn source --method ce --class 1)
de=(unlearn source --method de --class 1)
retrain=(unlearn source --method retrain --class 1)

kills=0

# killed N ARGUMENTS...: runs until the N-th call, or to its end.
killed() {
    local at=$1
    shift
    EXCISE_KILL_AT=$at LD_PRELOAD=$shim "$excise" "$@" >out 2>err
}

# late SECONDS ARGUMENTS...: the same by time.
late() {
    local seconds=$1
    shift
    timeout -s KILL "$seconds" "$excise" "$@" >out 2>err
}

# attempt HOW POINT FOLDER ARGUMENTS...: as a user would: --resume if the folder can, else anew.
# The status of the program, 137 if it was killed.
attempt() {
    local how=$1 point=$2 folder=$3 code
    shift 3
    if [ -e "$folder" ]; then
        { "$how" "$point" "$@" -o "$folder" --resume; } 2>/dev/null # no words on who was killed
        code=$?
        if [ $code -ne 2 ] || ! grep -q "start the run without --resume" err; then
            return $code
        fi
    fi
    { "$how" "$point" "$@" -o "$folder"; } 2>/dev/null
}

# chain EXPECTED FOLDER HOW:POINT... -- ARGUMENTS...: killed at one point after the other, then left
# to its end.
chain() {
    local expected=$1 folder=$2 points=() code
    shift 2
    while [ "$1" != -- ]; do
        points+=("$1")
        shift
    done
    shift
    for point in "${points[@]}" killed:0; do
        local ablated=0
        [ ! -e "$folder/effects.csv" ] || ablated=1
        attempt "${point%%:*}" "${point#*:}" "$folder" "$@"
        code=$?
        [ $ablated -eq 0 ] || ! grep -q '^ablated' err || fail "$folder: the ablation was repeated"
        case $code in
        137) kills=$((kills + 1)) ;;
        0) break ;;
        *) fail "$folder: excise gave $code after ${points[*]}, at $point" ;;
        esac
    done
    [ $code -eq 0 ] || fail "$folder: not finished after ${points[*]}"
    python3 "$compare" "$expected" "$folder" || fail "$folder differs after ${points[*]}"
    rm -r "$folder"
}

# --- undisturbed runs, and how many calls each makes
calls_of() {
    EXCISE_KILL_COUNT=count LD_PRELOAD=$shim "$excise" "$@" >out 2>err || fail "excise $* failed"
    cat count
}
count_train=$(calls_of "${train[@]}" -o source) || exit 1
for job in ce de retrain; do
    declare -n arguments=$job
    declare "count_$job=$(calls_of "${arguments[@]}" -o "$job")" || exit 1
done
echo "calls: train $count_train, ce $count_ce, de $count_de, retrain $count_retrain"

# at JOB SHARE WIDTH: a point in the given per mille of the job's calls, jittered.
at() {
    local -n total=count_$1
    echo killed:$((1 + total * $2 / 1000 + RANDOM % (1 + total * $3 / 1000)))
}
moment() {
    echo "late:0.$((10 + RANDOM % 50))"
}

# --- the first calls of all: folders, config.yaml, the first checkpoint
chain source t0 killed:1 killed:2 killed:3 killed:5 killed:7 -- "${train[@]}"
chain ce c0 killed:1 killed:3 killed:6 killed:8 -- "${ce[@]}"
# --- throughout; each chain goes on from where the one before was killed, and is killed again
chain source t1 "$(at train 250 200)" "$(at train 200 200)" "$(at train 100 200)" -- "${train[@]}"
chain source t2 "$(at train 800 190)" "$(at train 0 200)" "$(at train 0 100)" -- "${train[@]}"
for round in 1 2; do
    for job in ce de; do
        declare -n arguments=$job
        chain $job "$job$round" "$(at $job 100 $((200 * round)))" "$(at $job 150 200)" \
            "$(at $job 150 200)" "$(at $job 50 50)" "$(at $job 0 100)" -- "${arguments[@]}"
    done
done
chain ce c3 "$(at ce 850 140)" "$(at ce 0 100)" -- "${ce[@]}"
chain retrain r1 "$(at retrain 400 300)" "$(at retrain 300 200)" "$(at retrain 0 200)" -- \
    "${retrain[@]}"
# --- any moment
tries=0
while [ $kills -lt 50 ]; do
    tries=$((tries + 1))
    [ $tries -le 20 ] || fail "only $kills of 50 kills came in time"
    chain source t-late "$(moment)" "$(moment)" "$(moment)" -- "${train[@]}"
    chain de d-late "$(moment)" "$(moment)" "$(moment)" -- "${de[@]}"
    chain ce c-late "$(moment)" "$(moment)" "$(moment)" -- "${ce[@]}"
done
echo "$kills kills"
