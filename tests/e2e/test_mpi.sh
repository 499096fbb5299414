#!/usr/bin/env bash
# Several processes over MPI: the same bits as one, for any number of them, and an end with an error
# that says what happened where one of them fails. Run folders are compared whole, times aside.
source "$(dirname "$0")/cli_common.sh"
command -v mpirun >/dev/null && [ -e "$1/libexcise_mpi.so" ] || exit 77
compare=$tests/compare_runs.py
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# Open MPI keeps memory and unloads the modules that hold it, so that no suppression can name it.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0

cat >small.yaml <<'YAML'
dataset: synthetic
model: resnet20
train_samples: 180
test_samples: 60
num_clients: 5
rounds: 2
local_epochs: 1
batch_size: 16
lr: 0.05
conv: direct
lanes: 1
server: {samples: 40, threads: 1}
unlearn: {rounds: 2, epochs: 1, probe: 4, stop_forget: -1}
YAML

# ranks N ARGUMENTS...: as N processes; output to the files out and err. Ends with mpirun's status.
ranks() {
    local count=$1
    shift
    mpirun --oversubscribe -n "$count" "$excise" "$@" >out 2>err
}

# equal RUN RUN
equal() {
    python3 "$compare" "$1" "$2" >differences || fail "$(cat differences)"
}

# The process of a rank of the newest mpirun.
rank_process() {
    local process
    for process in $(pgrep -f "^$excise "); do
        tr '\0' '\n' 2>/dev/null <"/proc/$process/environ" | grep -q "^OMPI_COMM_WORLD_RANK=$1$" &&
            echo "$process"
    done
}

# --- training; with two of five clients in a round some ranks have nothing to do
succeeds train -c small.yaml -o one
for count in 2 4; do
    ranks $count train -c small.yaml -o ranks$count || fail "$count ranks gave $?"
    [ "$(grep -c '^run  ' out)" -eq 1 ] || fail "$count ranks printed other than one report"
    [ "$(grep -c '^round 2/2' err)" -eq 1 ] || fail "$count ranks logged other than once"
    equal one ranks$count
done
has err "4 ranks over mpi"
succeeds train -c small.yaml -s rounds=1 -s clients_per_round=2 -o few
ranks 4 train -c small.yaml -s rounds=1 -s clients_per_round=2 -o few4 || fail "few clients gave $?"
equal few few4

# --- timed convolutions: all ranks compute as the first chose, so one process can repeat it
ranks 2 train -c small.yaml -s rounds=1 -s conv=auto -o auto || fail "conv=auto gave $?"
succeeds train -c small.yaml -s rounds=1 -s conv=auto --algorithms auto/algorithms.json -o again
same auto/model.safetensors again/model.safetensors

# --- a run goes on with another number of processes
ranks 3 train -c small.yaml -s rounds=1 -o resumed || fail "a first round gave $?"
ranks 2 train -o resumed -s rounds=2 --resume || fail "going on gave $?"
same one/model.safetensors resumed/model.safetensors

# --- unlearning by clients, by retraining, and by the server, which does it alone
for method in de retrain ce; do
    succeeds unlearn one --method $method --class 1 -o $method
    ranks 2 unlearn one --method $method --class 1 -o ${method}2 || fail "$method gave $?"
    equal $method ${method}2
done
seeded=(unlearn one --method de --class 1 -s unlearn.seed=9 -s clients_per_round=3)
succeeds "${seeded[@]}" -o seeded
ranks 2 "${seeded[@]}" -o seeded2 || fail "unlearn.seed gave $?"
equal seeded seeded2

# --- what only the first process does is done once
ranks 2 eval one || fail "eval gave $?"
[ "$(grep -c 'accuracy' out)" -eq 1 ] || fail "eval printed other than once"

# --- errors are told once, by the first process
ranks 2 train -c small.yaml -o one && fail "an output that exists was taken"
[ "$(grep -c '^excise: error: ' err)" -eq 1 ] || fail "an output that exists: no single error"
has err "one is not empty"
ranks 2 train -c small.yaml -s dataset=mnist -s data_dir=/nowhere -o nothing && fail "no data"
[ "$(grep -c '^excise: error: ' err)" -eq 1 ] || fail "no data: no single error"
absent nothing

# --- a process that is killed, that hangs, and that is interrupted: what is complete stays
for signal in KILL STOP TERM; do
    timeout=60
    [ $signal != STOP ] || timeout=5
    mpirun --oversubscribe -n 2 "$excise" train -c small.yaml -s rounds=40 -s comm_timeout=$timeout \
        -o by$signal >out 2>err &
    job=$!
    wait_for 60 grep -q '^round 1/40' err
    process=$(rank_process 1)
    [ -n "$process" ] || fail "rank 1 is not there"
    kill -s $signal "$process"
    wait $job && fail "SIG$signal in rank 1 went unnoticed"
    [ $signal != STOP ] || has err "another rank did not join"
    [ $signal != TERM ] || has err "excise: interrupted; "
    absent by$signal/model.safetensors
    complete=$(find by$signal/checkpoint -name 'round-*.bin' | sed 's/.*-//; s/\.bin//' | sort -n | tail -n 1)
    ranks 2 train -o by$signal -s rounds=$((complete + 1)) --resume || fail "resuming gave $?"
    [ $signal = KILL ] || continue
    succeeds train -c small.yaml -s rounds=$((complete + 1)) -o whole
    same whole/model.safetensors byKILL/model.safetensors
done
exit 0
