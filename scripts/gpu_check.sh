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
#   EXCISE_BUILD  build folder (build-gpu)       EXCISE_OUT  where gpu_check.json, gpu_check.txt and
#   PYTHON        interpreter with PyTorch                   the logs go (gpu_check)
# A part may take PART_SECONDS (200) at most; what it did not get to is told. Exit status: 0 all is
# well; 1 something is not; 2 there is no GPU to check, and what can be built was.
EXCISE_BUILD=${EXCISE_BUILD:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build-gpu}
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

build=${build:?} # common.sh
out=${EXCISE_OUT:-$root/gpu_check}
PATH=$PATH:/usr/local/cuda/bin
python=${PYTHON:-python3}
deps=${EXCISE_DEPS:-$root/deps}
limit=${PART_SECONDS:-200}
all=(build test sanitize repeat bench)
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

# row PART WHAT RESULT [DETAIL]
row() {
    local detail=${4:-}
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "${detail//[$'\t\n']/ }" >>"$rows"
    say "$1: $2: $3${4:+ ($4)}"
}

# tried PART WHAT COMMAND...: a row by the command's exit status, its output in a log.
tried() {
    local part=$1 what=$2 log code=0
    log=$out/$1-${2//[^a-zA-Z0-9]/_}.log
    shift 2
    timeout "$limit" "$@" >"$log" 2>&1 || code=$?
    case $code in
    0) row "$part" "$what" ok ;;
    77) row "$part" "$what" skipped "$(tail -n 1 "$log")" ;;
    124) row "$part" "$what" skipped "not done in $limit s" ;;
    *) row "$part" "$what" failed "$(tail -n 1 "$log"); see $log" && return 1 ;;
    esac
}

# --- parts

check_build() {
    local options=(-DEXCISE_ONEDNN=OFF -DEXCISE_MPI=OFF -DEXCISE_CUDA=AUTO) capability
    [ ! -d "$deps" ] || options+=("-DEXCISE_DEPS=$(cd "$deps" && pwd)")
    # Code for the GPU at hand alone takes a third of the time.
    capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d . || true)
    [ -z "$capability" ] || options+=("-DEXCISE_CUDA_ARCHITECTURES=$capability")
    [ -f "$build/CMakeCache.txt" ] || options+=(-G Ninja)
    limit=600 tried build configure cmake -S "$root" -B "$build" "${options[@]}" || return 0
    limit=600 tried build build cmake --build "$build" --target gpu_check || return 0
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
    timeout "$limit" ctest --test-dir "$build" -L gpu --output-on-failure --timeout 120 >"$log" 2>&1 ||
        code=$?
    while read -r name result; do
        case $result in
        *Passed*) row test "$name" ok ;;
        *Skipped*) row test "$name" skipped ;;
        *) row test "$name" failed "see $log" ;;
        esac
    done < <(sed -n 's#^ *[0-9]*/[0-9]* *Test *\#[0-9]*: \([^ ]*\) \.*\(.*\)$#\1 \2#p' "$log")
    grep -q '^[0-9]*% tests passed' "$log" || row test ctest failed "ended with $code; see $log"
}

write_job() {
    cat >"$out/job.yaml" <<'YAML'
dataset: synthetic
model: resnet20
train_samples: 256
test_samples: 64
num_clients: 2
rounds: 1
local_epochs: 1
batch_size: 32
lr: 0.05
conv: direct
device: cuda
server: {samples: 64, threads: 1}
unlearn: {rounds: 1, epochs: 1, probe: 8}
YAML
}

check_sanitize() {
    local tool
    if ! command -v compute-sanitizer >/dev/null; then
        row sanitize all skipped "compute-sanitizer is not installed"
        return
    fi
    write_job
    for tool in memcheck racecheck; do
        tried sanitize "train under $tool" compute-sanitizer --tool $tool --error-exitcode 9 \
            "$build/excise" train -c "$out/job.yaml" -o "$out/sanitized" --overwrite || true
        tried sanitize "ablate under $tool" compute-sanitizer --tool $tool --error-exitcode 9 \
            "$build/excise" ablate "$out/sanitized" --class 1 -o "$out/sanitized.csv" --overwrite || true
    done
}

# 100 short runs by turns on one lane and on several, all with the first one's algorithms.
check_repeat() {
    local runs=${REPEATS:-100} i lanes sum first='' started=$SECONDS
    write_job
    rm -rf "$out/repeat"
    for ((i = 0; i < runs; i++)); do
        [ $((SECONDS - started)) -lt "$limit" ] || break
        lanes=$((i % 4 + 1))
        local more=()
        [ "$i" -eq 0 ] || more=(--algorithms "$out/algorithms.json")
        if ! "$build/excise" train -c "$out/job.yaml" -s lanes=$lanes "${more[@]}" -o "$out/repeat" --overwrite \
            >"$out/repeat.log" 2>&1; then
            row repeat "run $i" failed "$(tail -n 1 "$out/repeat.log")"
            return
        fi
        sum=$(sha256sum <"$out/repeat/model.safetensors")
        [ "$i" -gt 0 ] || { first=$sum && cp "$out/repeat/algorithms.json" "$out/"; }
        if [ "$sum" != "$first" ]; then
            row repeat "same bits" failed "run $i, on $lanes lanes, differs from the first"
            return
        fi
    done
    if [ "$i" -lt "$runs" ]; then
        row repeat "same bits" ok "$i of $runs runs in $limit s"
    else
        row repeat "same bits" ok "$i runs"
    fi
}

# measured WHAT COMMAND...: a figure from the JSON object in the command's last line; fails if there is
# none.
measured() {
    local what=$1 log=$out/bench.log code=0 last figure
    shift
    timeout 120 "$@" >"$log" 2>&1 || code=$?
    last=$(tail -n 1 "$log")
    if [ $code -eq 0 ] && figure=$("$python" -c 'import json, sys
d = json.loads(sys.argv[1]); print("%.4g %s" % (d["median"], d["unit"]))' "$last" 2>/dev/null); then
        printf '%s\t%s\n' "$what" "$last" >>"$out/bench.jsonl.tsv"
        row bench "$what" "$figure"
        return
    fi
    # 77: the peer cannot run here; 2: excise refuses, such as a precision that it does not have.
    if [ $code -eq 77 ] || [ $code -eq 2 ]; then
        row bench "$what" skipped "$last"
    elif [ $code -eq 124 ]; then
        row bench "$what" skipped "not done in 120 s"
    else
        row bench "$what" failed "$last"
    fi
    return 1
}

check_bench() {
    local model precision mode ours=("$build/excise-bench") started=$SECONDS
    : >"$out/bench.jsonl.tsv"
    for model in resnet20 vgg11; do
        for precision in tf32 fp32 bf16; do
            local job=(--model "$model" --precision "$precision")
            for what in step eval ablate; do
                if [ $((SECONDS - started)) -gt "$limit" ]; then
                    row bench "$what $model $precision" skipped "no time left"
                    continue
                fi
                measured "$what $model $precision excise" "${ours[@]}" $what "${job[@]}" --device cuda --json ||
                    continue # a peer without a counterpart says nothing
                for mode in eager graph compile; do
                    [ $what != ablate ] || [ $mode = eager ] || continue
                    [ $mode != compile ] || [ $what = step ] || continue # its compiler takes long
                    measured "$what $model $precision pytorch $mode" "$python" \
                        "$root/bench/peers/torch_gpu.py" $what --mode $mode "${job[@]}" || true
                done
            done
        done
    done
}

# --- run, and tell

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
for part in "${parts[@]}"; do
    if [ -z "$gpu" ] && [ "$part" != build ]; then
        row "$part" all skipped "there is no GPU"
    elif [ "$part" != build ] && [ ! -x "$build/excise" ]; then
        row "$part" all failed "there is no $build/excise: run the part build first"
    else
        "check_$part"
    fi
done

"$python" - "$rows" "$out" "$gpu" "$build/excise" <<'PY'
import json, os, platform, subprocess, sys

rows, out, gpu, excise = sys.argv[1:]
table = [dict(zip(("part", "what", "result", "detail"), line.rstrip("\n").split("\t")))
         for line in open(rows)]
figures = {}
path = os.path.join(out, "bench.jsonl.tsv")
if any(r["part"] == "bench" for r in table) and os.path.exists(path):
    for line in open(path):
        what, text = line.rstrip("\n").split("\t", 1)
        figures[what] = json.loads(text)
ratios = {}  # the peer's fastest way over ours: above 1, ours is faster
for what, ours in figures.items():
    if what.endswith(" excise"):
        job = what[:-len(" excise")]
        peers = {k: f["median"] for k, f in figures.items() if k.startswith(job + " pytorch")}
        if peers:
            best = min(peers, key=peers.get)
            ratios[job] = {"ratio": peers[best] / ours["median"], "peer": best}
devices = None
try:
    devices = json.loads(subprocess.run([excise, "devices", "--json"], capture_output=True,
                                        text=True).stdout)
except (OSError, ValueError):
    pass
failed = [r for r in table if r["result"] == "failed"]
report = {"schema": 1, "gpu": gpu or None, "machine": platform.platform(), "devices": devices,
          "rows": table, "figures": figures, "ratios": ratios, "failed": len(failed)}
with open(os.path.join(out, "gpu_check.json"), "w") as f:
    json.dump(report, f, indent=2)
lines = [f"gpu_check on {gpu or 'a machine without a GPU'}", ""]
lines += [f"{r['part']:9} {r['what']:40} {r['result']:12} {r['detail']}".rstrip() for r in table]
lines += [""] + [f"{job}: {r['ratio']:.2f} times as fast as {r['peer']}" for job, r in ratios.items()]
lines += [f"{len(failed)} failed" if failed else "nothing failed"]
with open(os.path.join(out, "gpu_check.txt"), "w") as f:
    f.write("\n".join(lines) + "\n")
print("\n".join(lines))
PY
if grep -q "$(printf '\tfailed\t')" "$rows"; then
    exit 1
fi
[ -n "$gpu" ] || { say "there is no GPU here: nothing was run on one" && exit 2; }
