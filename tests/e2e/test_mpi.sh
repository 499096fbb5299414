#!/usr/bin/env bash
# Several processes over MPI: the same bits as one, for any number of them, and an end with an error
# that says what happened where one of them fails. Run folders are compared whole, times aside.
source "$(dirname "$0")/cli_common.sh"
command -v mpirun >/dev/null && [ -e "$1/libexcise_mpi.so" ] || exit 77
compare=$tests/compare_runs.py
root=$tests/../..
kill_at=$1/faults/kill_at.so half_nccl=$1/faults/half_nccl.so modules=$1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# Open MPI keeps memory and unloads the modules that hold it, so that no suppression can name it.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0

cat >small.yaml <<'YAML'
dataset: synthetic
model: resnet20
train_samples: 100
test_samples: 40
num_clients: 5
rounds: 2
local_epochs: 1
batch_size: 16
lr: 0.05
conv: direct
lanes: 1
server: {samples: 30, threads: 1}
unlearn: {rounds: 2, epochs: 1, probe: 2, stop_forget: -1}
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

# No process of ours outlives its mpirun.
all_gone() {
    wait_for 20 nobody_here
}
nobody_here() {
    local process
    for process in $(pgrep -x excise); do
        [ "$(readlink "/proc/$process/cwd")" != "$work" ] || return 1
    done
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
documented=$(sed -n 's/^    \(mpirun -n 4 .*excise train .*\)$/\1/p' "$root/README.md")
for count in 2 4; do
    if [ $count = 4 ]; then # as the README has it
        OMPI_MCA_rmaps_base_oversubscribe=1 bash -c "$(sed "
            s|build/excise|$excise|; s|EXP.yaml|small.yaml|; s|runs/mine|ranks4|" <<<"$documented")" >out 2>err
    else
        ranks $count train -c small.yaml -o ranks$count
    fi || fail "$count ranks gave $?"
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

# --- a run goes on with another number of processes; here as a job of Slurm's, whose srun is a
# stand-in that starts them by mpirun
mkdir bin
cat >bin/srun <<'SH'
#!/usr/bin/env bash
while [ "${1#-}" != "$1" ]; do shift; done
exec mpirun --oversubscribe -n "$TASKS" "$@"
SH
chmod +x bin/srun
for tasks in 3 2; do
    PATH=$work/bin:$PATH TASKS=$tasks EXCISE=$excise bash "$root/scripts/slurm_train.sh" \
        small.yaml resumed -s rounds=$((4 - tasks)) >out 2>err || fail "$tasks tasks gave $?"
done
same one/model.safetensors resumed/model.safetensors

# --- the server's momentum, which a run takes up with the ranks of another start
momentum=(-s aggregation=fedavgm -s server.momentum=0.5)
succeeds train -c small.yaml "${momentum[@]}" -s rounds=3 -o momentum
ranks 3 train -c small.yaml "${momentum[@]}" -s rounds=1 -o momentum2 || fail "fedavgm gave $?"
ranks 2 train -o momentum2 -s rounds=3 --resume || fail "resuming fedavgm gave $?"
same momentum/model.safetensors momentum2/model.safetensors

# --- unlearning by clients, by retraining, and by the server, which does it alone; --effects spares
# the controls an ablation of their own
for method in de retrain ce de-random head; do
    options=(--method $method --class 1 -s comm_timeout=20)
    [ $method != de-random ] || options+=(--effects de/effects.csv)
    succeeds unlearn one "${options[@]}" -o $method
    ranks 2 unlearn one "${options[@]}" -o ${method}2 || fail "$method gave $?"
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

# --- several processes that each would do all, in one folder
ranks 2 train -c small.yaml -s comm=local -o racing && fail "comm=local was taken"
has err "comm is local, but this is rank 1 of 2 that mpirun started"
absent racing
export WORLD_SIZE=2
refuses 2 "RANK is missing" train -c small.yaml -o racing
unset WORLD_SIZE
absent racing

# --- ranks that disagree on auto: all stop, and name the two
mkdir mixed
cp "$excise" "$modules/libexcise_mpi.so" mixed
cp "$half_nccl" mixed/libexcise_nccl.so
mpirun --oversubscribe -n 2 mixed/excise train -c small.yaml -o disagreed >out 2>err &&
    fail "ranks that disagree went on"
has err "rank 0 of 2 could talk over nccl, but rank 1 cannot: no GPU answers"
absent disagreed

# --- rank 0 is killed while it writes; another number of processes goes on
code=0
mpirun --oversubscribe -n 1 env LD_PRELOAD="$kill_at" EXCISE_KILL_AT=40 \
    ASAN_OPTIONS="$ASAN_OPTIONS:verify_asan_link_order=0" "$excise" train -c small.yaml -o cut : \
    -n 1 "$excise" train -c small.yaml -o cut >out 2>err || code=$?
[ $code -ne 0 ] || fail "rank 0 was not killed"
all_gone
absent cut/report.json
ranks 3 train -o cut --resume || fail "going on after rank 0 gave $?"
equal one cut

# --- a process that is killed, that hangs, and that is interrupted: what is complete stays
for case in KILL:1 STOP:1 STOP:0 TERM:1; do
    signal=${case%:*} rank=${case#*:} timeout=60
    [ $signal != STOP ] || timeout=5
    mpirun --oversubscribe -n 2 "$excise" train -c small.yaml -s rounds=40 -s comm_timeout=$timeout \
        -o by$signal$rank >out 2>err &
    job=$!
    wait_for 60 grep -q '^round 1/40' err
    process=$(rank_process $rank)
    [ -n "$process" ] || fail "rank $rank is not there"
    kill -s $signal "$process"
    wait $job && fail "SIG$signal in rank $rank went unnoticed"
    all_gone
    [ $signal != STOP ] || has err "another rank did not join"
    [ $signal != TERM ] || has err "excise: interrupted; "
    absent by$signal$rank/model.safetensors
    complete=$(find by$signal$rank/checkpoint -name 'round-*.bin' | sed 's/.*-//; s/\.bin//' | sort -n | tail -n 1)
    ranks 2 train -o by$signal$rank -s rounds=$((complete + 1)) --resume || fail "resuming gave $?"
    [ $signal = KILL ] || continue
    succeeds train -c small.yaml -s rounds=$((complete + 1)) -o whole
    same whole/model.safetensors byKILL1/model.safetensors
done
exit 0
