#!/usr/bin/env bash
# kill -9 at 50 points of training and unlearning, resumed each time: the folder that comes out is
# that of a run which nobody disturbed, to the bit. Most points are chosen calls, among them writes
# that are cut in half; the others are moments. EXCISE_TEST_SEED=N chooses other points.
source "$(dirname "$0")/cli_common.sh"
shim=$1/faults/kill_at.so
[ -e "$shim" ] || fail "$shim is missing"
compare=$tests/compare_runs.py
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:verify_asan_link_order=0
seed=${EXCISE_TEST_SEED:-5298}
RANDOM=$seed
echo "seed $seed"

shrink_jobs "rounds: 3, epochs: 3, probe: 1, stop_forget: -1, relabel: each"
echo "augment: {crop: 2, flip: true, cutout: 3}" >>tiny.yaml

train=(train -c tiny.yaml)
ce=(unlearn source --method ce --class 1)
de=(unlearn source --method de --class 1)
random=(unlearn source --method de-random --class 1)
head=(unlearn source --method head --class 1)
retrain=(unlearn source --method retrain --class 1)

kills=0

# killed N ARGUMENTS...: runs until the N-th call, or to its end.
killed() {
    local at=$1
    shift
    EXCISE_KILL_AT=$at LD_PRELOAD=$shim "$excise" "$@" >out 2>err
}

# torn N ARGUMENTS...: runs until the N-th line of metrics.jsonl is written by half.
torn() {
    local at=$1
    shift
    EXCISE_KILL_LINE=$at LD_PRELOAD=$shim "$excise" "$@" >out 2>err
}

# pruning N ARGUMENTS...: runs until the N-th checkpoint is to be removed.
pruning() {
    local at=$1
    shift
    EXCISE_KILL_PRUNE=$at LD_PRELOAD=$shim "$excise" "$@" >out 2>err
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

# draw POINT: what it stands for, as HOW:N in $drawn. POINT: killed:N, torn:N, pruning:N, JOB:SHARE+WIDTH (a call between
# those per mille of the job's) or moment. Not in a subshell, which would draw from another seed.
draw() {
    local job=${1%%:*} span=${1#*:}
    case $job in
    killed | torn | pruning) drawn=$1 ;;
    moment) drawn=late:0.$((10 + RANDOM % 50)) ;;
    *)
        local -n total=count_$job
        drawn=killed:$((1 + total * ${span%+*} / 1000 + RANDOM % (1 + total * ${span#*+} / 1000)))
        ;;
    esac
}

# chain EXPECTED FOLDER POINT... -- ARGUMENTS...: killed at one point after the other, then left to
# its end.
chain() {
    local expected=$1 folder=$2 points=() code
    shift 2
    while [ "$1" != -- ]; do
        draw "$1"
        points+=("$drawn")
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
for job in ce de random head retrain; do
    declare -n arguments=$job
    declare "count_$job=$(calls_of "${arguments[@]}" -o "$job")" || exit 1
done
echo "calls: train $count_train, ce $count_ce, de $count_de, de-random $count_random, head $count_head," \
    "retrain $count_retrain"

# --- the first calls of all: folders, config.yaml, the first checkpoint
chain source t0 killed:1 killed:2 killed:3 killed:5 killed:7 -- "${train[@]}"
chain ce c0 killed:1 killed:3 killed:6 killed:8 -- "${ce[@]}"
# --- in a line of metrics.jsonl, the first, the last and one between
{ torn 2 "${train[@]}" -o half; } 2>/dev/null
[ $? -eq 137 ] || fail "nobody was killed in a line of metrics.jsonl"
[ "$(wc -l <half/metrics.jsonl)" -eq 1 ] && tail -n 1 half/metrics.jsonl | grep -q '^{"round":2' ||
    fail "no line of metrics.jsonl was cut in half"
chain source half -- "${train[@]}"
chain source t-line torn:1 torn:2 torn:1 -- "${train[@]}"
chain ce c-line torn:2 torn:1 -- "${ce[@]}"
chain de d-line torn:3 torn:1 -- "${de[@]}"
# --- throughout; each chain goes on from where the one before was killed, and is killed again
chain source t1 train:250+200 train:200+200 train:100+200 -- "${train[@]}"
chain source t2 train:800+190 train:0+200 train:0+100 -- "${train[@]}"
for round in 1 2; do
    for job in ce de; do
        declare -n arguments=$job
        chain $job $job$round $job:100+$((200 * round)) $job:150+200 $job:150+200 $job:50+50 \
            $job:0+100 -- "${arguments[@]}"
    done
done
chain ce c3 ce:850+140 ce:0+100 -- "${ce[@]}"
for job in random head; do # no ablation, else like de and ce
    declare -n arguments=$job
    chain $job $job-1 $job:500+400 $job:200+200 $job:0+100 -- "${arguments[@]}"
done
chain retrain r1 retrain:400+300 retrain:300+200 retrain:0+200 -- "${retrain[@]}"
# --- after the last checkpoint, before an older one is removed
{ pruning 1 "${train[@]}" -o three; } 2>/dev/null
[ $? -eq 137 ] || fail "nobody was killed before a checkpoint was removed"
present three/checkpoint/round-{0,1,2}.bin
chain source three pruning:1 pruning:1 -- "${train[@]}"
# --- the same in bf16, where the processor can
if "$excise" train -c tiny.yaml --precision bf16 --dry-run --quiet >/dev/null 2>&1; then
    narrow=("${train[@]}" --precision bf16)
    narrow_ce=(unlearn narrow --method ce --class 1)
    calls_of "${narrow[@]}" -o narrow >/dev/null
    calls_of "${narrow_ce[@]}" -o narrow-ce >/dev/null
    ! cmp -s source/model.safetensors narrow/model.safetensors || fail "bf16 gives the bits of fp32"
    chain narrow n1 train:300+200 train:150+200 train:0+100 -- "${narrow[@]}"
    chain narrow-ce n2 ce:600+300 ce:0+200 -- "${narrow_ce[@]}"
fi
# --- any moment
tries=0
until [ $tries -gt 0 ] && [ $kills -ge 50 ]; do
    tries=$((tries + 1))
    [ $tries -le 20 ] || fail "only $kills of 50 kills came in time"
    chain source t-late moment moment moment -- "${train[@]}"
    chain de d-late moment moment moment -- "${de[@]}"
    chain ce c-late moment moment moment -- "${ce[@]}"
done
echo "$kills kills"
