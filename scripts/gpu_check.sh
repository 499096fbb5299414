#!/usr/bin/env bash
# Checks excise on a machine with an NVIDIA GPU, in under ten minutes: builds, runs the tests that
# need a GPU, looks for errors of memory and races, repeats a run for the same bits, and measures
# beside PyTorch.
#
#   scripts/gpu_check.sh [build|test|sanitize|repeat|bench]...      (all, in this order)
#
# Needs CUDA with nvcc, cuDNN (Python's nvidia-* packages will do), CMake, ninja and Python, PyTorch for
# bench; no network. The small libraries come from the system, or from EXCISE_DEPS (default: deps/ in
# the checkout), which scripts/pack_deps.sh fills elsewhere.
#   EXCISE_BUILD  build folder (build-gpu)       EXCISE_OUT   where gpu_check.json, gpu_check.txt and
#   PYTHON        interpreter with PyTorch                    the logs go (gpu_check)
#   SECONDS_MOST  for all parts (570)            SMALL=1      tiny sizes on any device, to try the
#   EXCISE_COMMIT what is checked, without git                script: its figures mean nothing
#   TOOL_SECONDS  for a command under the sanitizer (75)
# Results are written after each part, so that what was done is told even if the script is stopped;
# parts may be run one by one. What there was no time for is told too; what took longer than it may while
# there was time has failed. Exit status: 0 all is well; 1
# something is not; 2 there is no GPU to check, and what can be built was.
EXCISE_BUILD=${EXCISE_BUILD:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build-gpu}
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

build=${build:?} # common.sh
export EXCISE_CACHE=off # what is measured is timed by this build, here
out=${EXCISE_OUT:-$root/gpu_check}
# Where nvcc and compute-sanitizer are, if not on PATH; of several toolkits the newest.
for folder in /usr/local/cuda $(printf '%s\n' /usr/local/cuda-* | sort -rV); do
    PATH=$PATH:$folder/bin:$folder/compute-sanitizer
done
python=$(command -v "${PYTHON:-python3}" || die "there is no ${PYTHON:-python3}")
deps=${EXCISE_DEPS:-$root/deps}
most=${SECONDS_MOST:-570}
commit=${EXCISE_COMMIT:-$(git -C "$root" describe --always --dirty 2>/dev/null || true)}
all=(build test sanitize repeat bench)
# Seconds that a part has for sure where others run before it; what they leave is its own as well.
declare -A share=([build]=120 [test]=120 [sanitize]=90 [repeat]=40 [bench]=200)
parts=()
for word in "$@"; do
    case $word in
    -h | --help) print_usage ;;
    build | test | sanitize | repeat | bench) parts+=("$word") ;;
    *) printf 'error: unknown part "%s"; one of %s\n' "$word" "${all[*]}" >&2 && exit 2 ;;
    esac
done
[ ${#parts[@]} -gt 0 ] || parts=("${all[@]}")

mkdir -p "$out"
out=$(cd "$out" && pwd)
rows=$out/rows.tsv # part, what, result (ok, failed, skipped, or a figure), detail
: >"$rows"
: >"$out/figures.tsv"

# row PART WHAT RESULT [DETAIL]
row() {
    local detail=${4:-}
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "${detail//[$'\t\n']/ }" >>"$rows"
    say "$1: $2: $3${4:+ ($4)}"
}

# Seconds that the part may still take.
left() {
    echo $((part_end - SECONDS))
}

# at_most SECONDS COMMAND...: as `timeout`, and not beyond the part's end; 124 then.
at_most() {
    local limit
    limit=$(left)
    [ "$1" -ge "$limit" ] || limit=$1
    shift
    [ "$limit" -gt 0 ] || return 124
    timeout -k 5 "$limit" "$@"
}

# Whether a command that ended with this status was stopped as the part's time was over; one that took all
# of its own is another matter: it hangs.
was_cut_off() {
    { [ "$1" -eq 124 ] || [ "$1" -eq 137 ]; } && [ "$(left)" -le 0 ]
}

# tried PART WHAT SECONDS COMMAND...: a row by the command's exit status, its output in a log.
tried() {
    local part=$1 what=$2 limit=$3 log code=0
    log=$out/$1-${2//[^a-zA-Z0-9]/_}.log
    shift 3
    at_most "$limit" "$@" >"$log" 2>&1 || code=$?
    if was_cut_off $code; then
        row "$part" "$what" skipped "not done in what was left of the part's time"
        return
    fi
    case $code in
    0) row "$part" "$what" ok ;;
    77) row "$part" "$what" skipped "$(tail -n 1 "$log")" ;;
    124 | 137) row "$part" "$what" failed "not done in $limit s, or killed; see $log" && return 1 ;;
    *) row "$part" "$what" failed "$(tail -n 1 "$log"); see $log" && return 1 ;;
    esac
}

# --- parts

check_build() {
    local options=(-DEXCISE_ONEDNN=OFF -DEXCISE_MPI=OFF -DEXCISE_CUDA=AUTO
        "-DPython3_EXECUTABLE=$python") capability
    [ ! -d "$deps" ] || options+=("-DEXCISE_DEPS=$(cd "$deps" && pwd)")
    # Code for the GPU at hand alone takes a third of the time.
    capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d . || true)
    # An older nvidia-smi answers with an error, an older nvcc may not know the GPU: then as usual,
    # with code that the driver compiles for later ones.
    if [[ $capability =~ ^[0-9]+$ ]] && "${CUDACXX:-nvcc}" --list-gpu-code 2>/dev/null | grep -x "sm_$capability" >/dev/null; then
        options+=("-DEXCISE_CUDA_ARCHITECTURES=$capability")
    fi
    [ -f "$build/CMakeCache.txt" ] || options+=(-G Ninja)
    tried build configure 120 cmake -S "$root" -B "$build" "${options[@]}" || return 0
    tried build build 500 cmake --build "$build" --target gpu_check --parallel "$(nproc)" || return 0
    if [ -e "$build/libexcise_cuda.so" ]; then
        row build module ok "$("$build/excise" --version | sed -n 's/^  \(cuda\|cudnn\|cublaslt\|nccl\) */\1 /p' | paste -sd,)"
    else
        local why
        why=$(grep 'CUDA back end (' "$out/build-configure.log" || echo "nvcc was not found")
        row build module "$([ -n "$gpu" ] && echo failed || echo skipped)" "$why"
    fi
}

check_test() {
    local log=$out/test.log code=0 name result
    # Tests skip where excise finds no GPU to use; here one is there.
    if ! "$build/excise" devices >"$log" 2>&1 || ! grep -q '^auto *takes cuda' "$log"; then
        row test device failed "$(grep -m 1 '^cuda' "$log")"
        return
    fi
    row test device ok "$(grep -m 1 '^cuda' "$log")"
    # Several at once: most of their time they wait for libraries to be loaded and kernels compiled.
    at_most 500 ctest --test-dir "$build" -L '^gpu$' --output-on-failure -j 4 >"$log" 2>&1 || code=$?
    while read -r name result; do
        case $result in
        *Passed*) row test "$name" ok ;;
        *Skipped*) row test "$name" skipped ;;
        *) row test "$name" failed "see $log" ;;
        esac
    done < <(sed -n 's#^ *[0-9]*/[0-9]* *Test *\#[0-9]*: \([^ ]*\) \.*\(.*\)$#\1 \2#p' "$log")
    if was_cut_off $code; then
        row test ctest skipped "the rest was not done in time"
    elif ! grep -q '^[0-9]*% tests passed' "$log"; then
        row test ctest failed "ended with $code; see $log"
    fi
}

# write_job SAMPLES CLIENTS
write_job() {
    cat >"$out/job.yaml" <<YAML
dataset: synthetic
model: resnet20
train_samples: $1
test_samples: 32
num_clients: $2
rounds: 1
local_epochs: 1
batch_size: 16
lr: 0.05
conv: direct
device: cuda
server: {samples: 32, threads: 1}
unlearn: {rounds: 1, epochs: 1, probe: 8}
YAML
}

# The names of our kernels as symbols have them, behind their lengths: libraries' are other ones.
kernel_symbols() {
    local name
    sed -n 's/^.*\b\([a-z0-9_]*_kernel\)(.*$/\1/p' "$root"/kernels/*.cu | sort -u |
        while read -r name; do echo "${#name}$name"; done
}

# sanitized TOOL WHAT COMMAND...: under compute-sanitizer, with the options that this one knows.
sanitized() {
    local tool=$1 what=$2 options=(--tool "$1" --error-exitcode 9) symbol
    shift 2
    # What libraries' kernels do in shared memory is theirs, and may look like a hazard.
    if [ "$tool" = racecheck ]; then
        if ! grep -q -e '--kernel-name' "$out/sanitizer-help.log"; then
            row sanitize "$what under $tool" skipped "this compute-sanitizer cannot look at our kernels alone"
            return
        fi
        for symbol in $(kernel_symbols); do
            options+=(--kernel-name "kns=$symbol")
        done
    fi
    # Libraries ask the driver for functions that it may not have, and go on without; our own calls
    # are checked where they stand.
    if grep -q -e '--report-api-errors' "$out/sanitizer-help.log"; then
        options+=(--report-api-errors no)
    fi
    tried sanitize "$what under $tool" "${TOOL_SECONDS:-75}" \
        env EX_TEST_EXACT=1 compute-sanitizer "${options[@]}" "$@" || true
}

# The tests of kernels, four at once.
sanitize_kernels() {
    local tool=$1 test running=0
    for test in "$build"/tests/gpu/test_kernels_*_gpu; do
        [ -x "$test" ] || continue
        [ "$(left)" -gt 5 ] || { row sanitize "$(basename "$test") under $tool" skipped "no time left" && continue; }
        sanitized "$tool" "$(basename "$test")" "$test" &
        running=$((running + 1))
        [ $((running % 4)) -ne 0 ] || wait
    done
    wait
}

check_sanitize() {
    local tool why
    if ! command -v compute-sanitizer >/dev/null; then
        row sanitize all skipped "compute-sanitizer is not installed"
        return
    fi
    # Some virtual machines keep debuggers off their GPU.
    why=$(at_most 60 compute-sanitizer "$build/excise" devices 2>&1 | grep -i -m 1 'not supported' || true)
    if [ -n "$why" ]; then
        row sanitize all skipped "$why"
        return
    fi
    compute-sanitizer --help >"$out/sanitizer-help.log" 2>&1 || true
    write_job 32 1
    for tool in memcheck racecheck synccheck; do
        sanitized $tool train "$build/excise" train -c "$out/job.yaml" -o "$out/sanitized-$tool" --overwrite &
    done
    wait
    for tool in memcheck racecheck; do
        [ -e "$out/sanitized-$tool/model.safetensors" ] || continue
        sanitized $tool ablate "$build/excise" ablate "$out/sanitized-$tool" --class 1 \
            -o "$out/sanitized-$tool.csv" --overwrite &
    done
    wait
    for tool in memcheck racecheck synccheck; do
        sanitize_kernels $tool
    done
}

# What is repeated, by turns: training, with convolutions as they come and with timed ones, and an
# ablation of what the first run has trained.
repeated=("train fp32 direct" "ablate fp32 direct" "train fp32 auto" "train tf32 auto" "train bf16 auto")

repeat_lanes() { # repeat_lanes NUMBER: one to four
    echo $(($1 / ${#repeated[@]} % 4 + 1))
}

# repeat_one NUMBER: one run, with the algorithms of the first of its kind; the checksum of what came out
# lands beside it.
repeat_one() {
    local run=$out/repeat/$1 number=$1 kind=$(($1 % ${#repeated[@]})) command precision conv more=() what code=0
    read -r command precision conv <<<"${repeated[kind]}"
    more=(-s "conv=$conv" -s "lanes=$(repeat_lanes "$number")" --precision "$precision")
    [ "$number" -eq "$kind" ] || more+=(--algorithms "$out/repeat/$kind/algorithms.json")
    if [ "$command" = train ]; then
        what=$run/model.safetensors
        more+=(-c "$out/job.yaml" -o "$run")
    else
        what=$run.csv
        more=("$out/repeat/0" --class 1 --strategy streams "${more[@]:0:4}" -o "$run.csv")
    fi
    at_most 120 "$build/excise" "$command" "${more[@]}" --overwrite >"$run.log" 2>&1 || code=$?
    echo $code >"$run.code"
    [ $code -eq 0 ] || return 0
    sha256sum <"$what" >"$run.sum"
    [ "$number" -eq "$kind" ] || [ "$command" != train ] || rm -r "$run"
}

# Whether excise refuses the precision of this kind of run, which is in order.
repeat_refused() {
    local precision=${repeated[$1]#* }
    [ "$(cat "$out/repeat/$1.code" 2>/dev/null)" = 2 ] &&
        tail -n 1 "$out/repeat/$1.log" | grep -q -e "${precision% *}"
}

# repeat_judge KIND RUNS DONE: what came of the runs of this kind.
repeat_judge() {
    local kind=$1 runs=$2 done=$3 i count=0 wanted
    local what="same bits, ${repeated[kind]}" step=${#repeated[@]}
    wanted=$(((runs - kind + step - 1) / step))
    if repeat_refused "$kind"; then
        row repeat "$what" skipped "$(tail -n 1 "$out/repeat/$kind.log")"
        return
    fi
    for ((i = kind; i < done; i += step)); do
        if [ ! -e "$out/repeat/$i.sum" ] && was_cut_off "$(cat "$out/repeat/$i.code" 2>/dev/null || echo 124)"; then
            break
        elif [ ! -e "$out/repeat/$i.sum" ]; then
            row repeat "$what" failed "run $i: $(tail -n 1 "$out/repeat/$i.log")"
            return
        elif ! cmp -s "$out/repeat/$kind.sum" "$out/repeat/$i.sum"; then
            row repeat "$what" failed "run $i, on $(repeat_lanes "$i") lanes, differs from the first"
            return
        fi
        count=$((count + 1))
    done
    if [ "$count" -lt 2 ]; then
        row repeat "$what" skipped "no time for two runs"
    elif [ "$count" -lt "$wanted" ]; then
        row repeat "$what" skipped "$count of $wanted runs have the same bits; no time for the others"
    else
        row repeat "$what" ok "$count runs"
    fi
}

MIB_EACH=2048 # of GPU memory for a short run: half of it is the driver's and the libraries'

# 100 short runs of all kinds by turns, on one lane and on several; some at once, so that they get into
# each other's way.
check_repeat() {
    local runs=${REPEATS:-100} together=8 kinds=${#repeated[@]} i j done memory
    memory=$(nvidia-smi -i 0 --query-gpu=memory.total --format=csv,noheader,nounits 2>/dev/null | head -n 1 || true)
    if [[ $memory =~ ^[0-9]+$ ]] && [ $((memory / MIB_EACH)) -lt $together ]; then
        together=$((memory / MIB_EACH > 0 ? memory / MIB_EACH : 1))
    fi
    write_job 256 2
    rm -rf "$out/repeat"
    mkdir "$out/repeat"
    repeat_one 0
    for ((j = 1; j < kinds && j < runs; j++)); do
        repeat_one $j &
    done
    wait
    done=$j
    for ((i = kinds; i < runs && $(left) > 10; i += together)); do
        for ((j = i; j < i + together && j < runs; j++)); do
            repeat_refused $((j % kinds)) || repeat_one $j &
        done
        wait
        done=$j
    done
    for ((i = 0; i < kinds && i < runs; i++)); do
        repeat_judge $i "$runs" "$done"
    done
}

memory_used=(-i 0 --query-gpu=memory.used "--format=csv,noheader,nounits") # MiB

# measured WHAT COMMAND...: a figure from the JSON object in the command's last line, and what GPU
# memory it took at most; fails if there is none.
measured() {
    local what=$1 log=$out/bench.log code=0 before watcher last text
    shift
    if [ "$(left)" -lt 10 ]; then
        row bench "$what" skipped "no time left"
        return 1
    fi
    before=$(nvidia-smi "${memory_used[@]}" 2>/dev/null || true)
    nvidia-smi "${memory_used[@]}" -lms 50 >"$out/memory.log" 2>/dev/null &
    watcher=$!
    at_most "100" "$@" >"$log" 2>"$log.err" || code=$?
    kill $watcher 2>/dev/null || true
    wait $watcher 2>/dev/null || true
    last=$(tail -n 1 "$log")
    if [ $code -eq 0 ] && text=$("$python" "$root/scripts/gpu_report.py" figure "$last" "${before:-0}" "$out/memory.log"); then
        printf '%s\t%s\n' "$what" "$(tail -n 1 <<<"$text")" >>"$out/figures.tsv"
        row bench "$what" "$(head -n 1 <<<"$text")"
        return
    fi
    [ -n "$last" ] || last=$(grep -v '^ *$' "$log.err" | tail -n 1 || true)
    # 77: the peer cannot run here; 2: excise refuses, which is in order for a precision alone.
    if [ $code -eq 77 ] || { [ $code -eq 2 ] && [[ $last == *"$precision"* ]]; }; then
        row bench "$what" skipped "$last"
    elif was_cut_off $code; then
        row bench "$what" skipped "not done in time"
    elif [[ $what == *pytorch* ]]; then
        row bench "$what" skipped "PyTorch failed${last:+: $last}" # no fault of excise's
    elif [ $code -eq 124 ] || [ $code -eq 137 ]; then
        row bench "$what" failed "not done in 100 s, or killed"
    else
        row bench "$what" failed "$last"
    fi
    return 1
}

# beside JOB MODEL PRECISION "MODE..." [options for both]: excise, and PyTorch in these modes.
beside() {
    local job=$1 model=$2 precision=$3 modes=$4 mode
    local both=(--model "$model" --precision "$precision" "${@:5}" "${small[@]}")
    # Without a figure of ours a peer's says nothing.
    measured "$job $model $precision excise" "$build/excise-bench" "$job" "${both[@]}" "${ours[@]}" || return 0
    for mode in $modes; do
        measured "$job $model $precision pytorch $mode" "$python" "$root/bench/peers/torch_gpu.py" "$job" \
            --mode "$mode" "${both[@]}" "${peer_device[@]}" || true
    done
    report >/dev/null
}

# Ten clients at once, on so many lanes.
bench_clients() {
    local lanes
    for lanes in 4 10 1; do
        measured "clients resnet20 $1 excise, $lanes lanes" "$python" "$root/bench/clients.py" "$build/excise" \
            --device cuda --precision "$1" --lanes $lanes "${small_clients[@]}" || return 0
    done
}

check_bench() {
    local precision strategy small=() small_clients=() peer_device=() probe=1000
    local ours=(--device cuda --lanes 4 --json)
    if [ -n "${SMALL:-}" ]; then
        small=(--repetitions 1) probe=8 peer_device=(--device cpu --images 32)
        small_clients=(--clients 2 --batch 4 --batches 1 --epochs 1 --rounds 1)
    fi
    local batch=(--batch "$([ -n "${SMALL:-}" ] && echo 4 || echo 128)")
    # What the targets ask for comes first.
    for precision in ${PRECISIONS:-tf32 fp32 bf16}; do
        beside step resnet20 "$precision" "eager graph compile" "${batch[@]}"
        bench_clients "$precision"
        beside ablate resnet20 "$precision" "eager graph compile" --probe $probe
        beside masked resnet20 "$precision" "" "${batch[@]}" # PyTorch has no step that costs less
        [ -z "${SMALL:-}" ] || continue
        for strategy in streams naive; do
            measured "ablate resnet20 $precision excise $strategy" "$build/excise-bench" ablate --model resnet20 \
                --precision "$precision" --probe $probe --strategy $strategy "${ours[@]}" || break
        done
    done
    for precision in ${PRECISIONS:-tf32 fp32 bf16}; do
        beside eval resnet20 "$precision" "eager graph" "${batch[@]}"
        [ -z "${SMALL:-}" ] || continue
        beside step vgg11 "$precision" "eager graph compile" "${batch[@]}"
        beside eval vgg11 "$precision" "eager graph" "${batch[@]}"
        beside ablate vgg11 "$precision" eager --probe $probe
    done
}

# --- run, and tell

report() {
    "$python" "$root/scripts/gpu_report.py" write "$out" "$gpu" "$build/excise" "$commit"
}

gpu=$("$python" - 2>/dev/null <<'PY' || true
import ctypes
lib = ctypes.CDLL("libcuda.so.1")
n, device = ctypes.c_int(), ctypes.c_int()
if lib.cuInit(0) == 0 and lib.cuDeviceGetCount(ctypes.byref(n)) == 0 and n.value > 0:
    name = ctypes.create_string_buffer(96)
    lib.cuDeviceGet(ctypes.byref(device), 0)
    lib.cuDeviceGetName(name, 96, device)
    print(name.value.decode())
PY
)
# cuDNN loads the compiler of its fused kernels by name: from Python's packages, if nowhere else.
LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}${LD_LIBRARY_PATH:+:}$("$python" - 2>/dev/null <<'PY' || true
import glob, importlib.util
spec = importlib.util.find_spec("nvidia")
folders = spec.submodule_search_locations if spec else []
print(":".join(sorted(f for p in folders for f in glob.glob(p + "/*/lib"))))
PY
)
[ -z "$LD_LIBRARY_PATH" ] || export LD_LIBRARY_PATH
trap 'report >/dev/null; exit 1' INT TERM

for ((at = 0; at < ${#parts[@]}; at++)); do
    part=${parts[at]} part_end=$most
    for later in "${parts[@]:at+1}"; do
        part_end=$((part_end - share[$later]))
    done
    if [ -z "$gpu" ] && [ "$part" != build ]; then
        row "$part" all skipped "there is no GPU"
    elif [ "$part" != build ] && [ ! -x "$build/excise" ]; then
        row "$part" all failed "there is no $build/excise: run the part build first"
    else
        began=$SECONDS
        "check_$part"
        say "$part took $((SECONDS - began)) s"
    fi
    report >/dev/null
done
report
if grep -q "$(printf '\tfailed\t')" "$rows"; then
    exit 1
fi
[ -n "$gpu" ] || { say "there is no GPU here: nothing was run on one" && exit 2; }
