#!/usr/bin/env bash
# Runs a benchmark of excise and the same job in PyTorch by turns, and compares their medians.
#
#   bench/compare.sh step|eval|ablate|memory [options]
#
#   --model M        resnet20 (default) or vgg11
#   --shape S        cifar or 3x32x32 (default), fashion or 1x28x28
#   --batch N        step, eval, memory: images in a batch (128)
#   --threads T      threads of either side (2)
#   --rounds R       processes of either side, by turns (5)
#   --repetitions N  timings in a process; 0: each side's own number (0)
#   --probe N        ablate: images that every channel is judged on (256)
#   --strategy S     ablate: ours; naive, streams or batched (default)
#   --peer P         ablate: naive, or prefix (default: maps before the layer are kept)
#   --conv C         ours; auto (default) or direct
#   --device D       cpu (default), or cuda or cuda:N, of either side
#   --precision P    ours and, on a GPU, the peer's: fp32 (default), tf32 or bf16; on the CPU bf16 has two
#                    peers, PyTorch in float32 and its autocast
#   --json           only the JSON object
#
# The last line is a JSON object; its ratio is the peer's time over ours: above 1, ours is faster. Beside
# autocast the object has an "autocast" with the same fields; "ratio" itself is float32's over ours.
# Exit status: 0 done; 1 failed, or a side's results are wrong (the object's "wrong_sides"); 2 bad usage.
# memory: peak resident memory of the processes of `step` instead, the peer's in its fastest way under
# malloc's defaults.
# PyTorch runs the way that is fastest here: memory format, optimizer or folding, malloc settings; on a
# GPU: eager, captured into a CUDA graph, or compiled.
# PYTHON names the interpreter that has it (/usr/bin/python3); EXCISE_BUILD the build folder.
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

python=${PYTHON:-/usr/bin/python3}
peer_program=$root/bench/peers/torch_peer.py

refuse() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

# --- options

jobs='step, eval, ablate, memory'
[ $# -gt 0 ] || refuse "a benchmark is expected, one of $jobs"
case $1 in
step | eval | ablate) job=$1 measured=median ;;
memory) job=step measured=peak_mib ;;
-h | --help) print_usage ;;
*) refuse "unknown benchmark \"$1\"; one of $jobs" ;;
esac
shift
rounds=5 json=no threads=2 repetitions=0 device=cpu precision=fp32 ours=() theirs=()
count='^[1-9][0-9]*$'
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) print_usage ;;
    --json)
        json=yes
        shift
        continue
        ;;
    --model | --shape | --batch | --probe | --threads | --repetitions | --rounds | --strategy | --conv | --peer | \
        --device | --precision) ;;
    *) refuse "unknown option \"$1\"; see bench/compare.sh --help" ;;
    esac
    [ $# -ge 2 ] || refuse "$1 needs a value"
    case $1 in
    --batch | --threads | --rounds | --probe)
        [[ $2 =~ $count ]] || refuse "$1 is \"$2\"; a number from 1 is expected" ;;
    --repetitions)
        [[ $2 =~ ^[0-9]+$ ]] || refuse "$1 is \"$2\"; a number from 0 is expected" ;;
    esac
    case $1 in
    --rounds) rounds=$2 ;;
    --device)
        [[ $2 =~ ^(cpu|cuda(:[0-9]+)?)$ ]] || refuse "--device is \"$2\"; one of cpu, cuda, cuda:N"
        device=$2
        ;;
    --precision) precision=$2 ;;
    --threads) threads=$2 ;;
    --repetitions) repetitions=$2 ;;
    --strategy | --conv) ours+=("$1" "$2") ;;
    --peer)
        case $2 in naive | prefix) ;; *) refuse "--peer is \"$2\"; one of naive, prefix" ;; esac
        theirs+=("$1" "$2")
        ;;
    *) ours+=("$1" "$2") theirs+=("$1" "$2") ;;
    esac
    shift 2
done
both=(--threads "$threads" --repetitions "$repetitions")
ours+=(--device "$device" --precision "$precision")
kinds=(fp32) # of the peer
if [ "$device" = cpu ]; then
    case $precision in
    fp32) ;;
    bf16) kinds+=(bf16) ;;
    *) refuse "--precision is \"$precision\"; one of fp32, bf16, or tf32 with --device cuda" ;;
    esac
elif [ "$measured" = peak_mib ]; then
    refuse "memory is that of the CPU's processes; scripts/gpu_check.sh measures a GPU's"
else
    peer_program=$root/bench/peers/torch_gpu.py
    # Its ablation is prefix; it has no threads to set.
    [[ " ${theirs[*]} " != *" --peer "* ]] || refuse "--peer is for --device cpu; on a GPU it is prefix"
    theirs+=(--device "$device" --precision "$precision" --repetitions "$repetitions")
fi

"$python" -c 'import torch' 2>/dev/null ||
    refuse "$python has no PyTorch: run scripts/setup.sh --peers, or set PYTHON"
if [ -f "$build/CMakeCache.txt" ]; then
    cmake --build "$build" --target excise-bench >&2
else
    build_tree "$build"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export EXCISE_CACHE=off # each process chooses its algorithms, whatever a busy hour chose before
export OMP_NUM_THREADS=$threads # the same for both, as is whatever else of OMP_ the caller set

# --- the peer's settings

# PyTorch allocates every map anew; whether malloc gives them back to the system each time decides
# much of its speed. The last one has huge pages, as our memory does.
mallocs=(
    ""
    "MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456"
    "MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456"
    "MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456 GLIBC_TUNABLES=glibc.malloc.hugetlb=1"
)

# peer KIND "ENVIRONMENT" ARGUMENTS...
peer() {
    local kind=$1 settings
    read -ra settings <<<"$2"
    shift 2
    env "${settings[@]}" "$python" "$peer_program" "$job" "${theirs[@]}" "${both[@]}" --precision "$kind" "$@"
}

field() {
    "$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$@"
}

declare -A use malloc # of each kind
best=''
better() { [ -z "$best" ] || awk "BEGIN { exit !($1 < $best) }"; }

# choose_way KIND
choose_way() {
    local kind=$1 settings fixed took
    best=''
    [ "$measured" = median ] || mallocs=("") # what makes malloc faster makes it keep more
    for settings in "${mallocs[@]}"; do
        fixed=()
        # Trials of an ablation are long: its way is chosen once.
        [ "$job" != ablate ] || [ -z "${use[$kind]:-}" ] || fixed=(--use "${use[$kind]}")
        peer "$kind" "$settings" --trial "${fixed[@]}" >"$work/trial.json"
        took=$(field "$work/trial.json" trial_seconds)
        if better "$took"; then
            best=$took malloc[$kind]=$settings use[$kind]=$(field "$work/trial.json" use)
        fi
        say "peer, $kind: $(field "$work/trial.json" use)${settings:+, $settings}: $took s"
    done
}

choose_mode() {
    local mode took
    for mode in eager graph compile; do
        [ "$job" != ablate ] || [ $mode = eager ] || continue
        if ! "$python" "$peer_program" "$job" "${theirs[@]}" --mode $mode >"$work/trial.json"; then
            say "peer: $mode: $(tail -n 1 "$work/trial.json")"
            continue
        fi
        took=$(field "$work/trial.json" median)
        say "peer: $mode: $took $(field "$work/trial.json" unit)"
        if better "$took"; then
            best=$took use[fp32]=$mode
        fi
    done
    [ -n "${use[fp32]:-}" ] || die "the peer runs in none of its ways on $device"
}

if [ "$device" = cpu ]; then
    for kind in "${kinds[@]}"; do choose_way "$kind"; done
else
    choose_mode
fi

# --- by turns

# take FILE COMMAND...: the last line that the command prints goes to the file. A wrong result, which gives
# status 1, still comes with its object; anything else that fails ends the comparison.
take() {
    local file=$1 code=0
    shift
    "$@" >"$work/said" || code=$?
    tail -n 1 "$work/said" >"$work/last"
    [ $code -eq 0 ] || { [ $code -eq 1 ] && grep -q '^{' "$work/last"; } || die "$1 gave $code (above)"
    cat "$work/last" >>"$file"
}

for ((round = 1; round <= rounds; round++)); do
    say "round $round of $rounds"
    take "$work/ours" "$build/excise-bench" "$job" "${ours[@]}" "${both[@]}" --json
    if [ "$device" = cpu ]; then
        for kind in "${kinds[@]}"; do
            take "$work/$kind" peer "$kind" "${malloc[$kind]}" --use "${use[$kind]}"
        done
    else
        take "$work/fp32" "$python" "$peer_program" "$job" "${theirs[@]}" --mode "${use[fp32]}"
    fi
done

peers=()
for kind in "${kinds[@]}"; do
    peers+=("$work/$kind" "${use[$kind]}" "${malloc[$kind]:-}")
done
"$python" - "$json" "$measured" "$work/ours" "${peers[@]}" <<'PY'
import json, statistics, sys

only_json, measured = sys.argv[1] == "yes", sys.argv[2]


def read(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


ours = read(sys.argv[3])
first = ours[0]
if measured == "peak_mib":
    first.update(job="memory", unit="MiB")
a = [row[measured] for row in ours]


def beside(path, use, malloc):
    """A peer's fields of the result."""
    rows = read(path)
    b = [row[measured] for row in rows]
    autocast = " autocast" if rows[0]["precision"] == "bf16" else ""
    return {"peer": statistics.median(b), "ratio": statistics.median(b) / statistics.median(a),
            "peer_rounds": b, "peer_name": f'{rows[0]["peer"]} {rows[0]["version"]}{autocast}',
            "peer_settings": {"way": use, "environment": malloc},
            "peer_wrong": sum(not row["finite"] for row in rows)}


peers = [beside(*sys.argv[at:at + 3]) for at in range(4, len(sys.argv), 3)]
result = {key: first[key] for key in ("job", "model", "shape")}
result["batch"] = first.get("batch")
for key in ("strategy", "lanes", "probe", "channels"):
    if key in first:
        result[key] = first[key]
result.update({
    "ours": statistics.median(a), "unit": first["unit"], "ours_rounds": a, "rounds": len(a),
    **peers[0], "threads": first["threads"],
    "conv": first["conv"], "precision": first["precision"], "wrong": sum(r["wrong"] for r in ours),
    "cpu": first["device_description"], "version": first["version"], "commit": first["commit"]})
if len(peers) > 1:
    result["autocast"] = peers[1]
wrong_sides = ["excise"] if result["wrong"] else []
wrong_sides += [p["peer_name"] for p in peers if p["peer_wrong"]]
result["wrong_sides"] = wrong_sides
if not only_json:
    what = f'batch {result["batch"]}' if result["batch"] else f'probe {result["probe"]}'
    print(f'# {result["job"]} {result["model"]}, {result["shape"]}, {what}, {result["precision"]}, '
          f'{result["threads"]} threads, {result["rounds"]} rounds; {result["cpu"]}')
    for p in peers:
        use, malloc = p["peer_settings"].values()
        print(f'# {p["peer_name"]}: {use}{"; " + malloc if malloc else ""}')
    print(f'#{"who":<27} {"median":>10} {"min":>10} {"max":>10} {"ratio":>8}')
    print(f'#{"":<27} {first["unit"]:>10} {first["unit"]:>10} {first["unit"]:>10} {"":>8}')
    for name, row, ratio in [("excise", a, 1)] + [
            (p["peer_name"], p["peer_rounds"], p["ratio"]) for p in peers]:
        print(f' {name:<27} {statistics.median(row):>10.4g} {min(row):>10.4g} {max(row):>10.4g} '
              f'{ratio:>8.3g}')
print(json.dumps(result))
if wrong_sides:
    sys.exit(f"error: wrong results of {', '.join(wrong_sides)}: the figures mean nothing")
PY
