# bench/compare.sh: each benchmark beside PyTorch, in the smallest size; bad usage.
compare=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/bench/compare.sh
source "$(dirname "${BASH_SOURCE[0]}")/cli_common.sh"
EXCISE_BUILD=$(dirname "$excise")
export EXCISE_BUILD

# refuses_compare WORDS ARGUMENTS...
refuses_compare() {
    local words=$1 code
    shift
    "$compare" "$@" >out 2>err
    code=$?
    [ $code -eq 2 ] || fail "compare.sh $* gave $code, expected 2"
    has err "$words"
}

refuses_compare "step, eval, ablate, memory"
refuses_compare "step, eval, ablate" stride
refuses_compare "unknown option" step --speed 3
refuses_compare "naive, prefix" ablate --peer fast
refuses_compare "a number from 1" step --batch none
refuses_compare "one of cpu, cuda, cuda:N" step --device gpu
refuses_compare "one of cpu, cuda, cuda:N" step --device cuda:1x
refuses_compare "one of fp32, bf16" step --precision tf32
refuses_compare "scripts/gpu_check.sh" memory --device cuda:1
PYTHON=false refuses_compare "scripts/setup.sh --peers" step

"${PYTHON:-/usr/bin/python3}" -c 'import torch' 2>/dev/null || {
    echo "no PyTorch: run scripts/setup.sh --peers" >&2
    exit 77
}

# compare ARGUMENTS...: one round of one repetition; its last line goes to last.json.
compare() {
    "$compare" "$@" --threads 1 --rounds 1 --repetitions 1 --conv direct >out 2>err ||
        fail "compare.sh $* gave $?"
    tail -n 1 out >last.json
    json last.json 'd["ours"] > 0 and d["peer"] > 0 and d["threads"] == 1 and d["wrong"] == 0 and not d["wrong_sides"]'
    json last.json 'abs(d["ratio"] * d["ours"] / d["peer"] - 1) < 1e-6'
    json last.json 'd["peer_settings"]["way"] and d["cpu"] and d["unit"] in ("ms", "s", "MiB")'
}

compare step --batch 2 --shape fashion
json last.json 'd["job"] == "step" and d["batch"] == 2 and d["shape"] == "1x28x28"'
compare eval --batch 2 --json
[ "$(wc -l <out)" -eq 1 ] || fail "--json printed more than its object"
compare ablate --probe 2
json last.json 'd["job"] == "ablate" and d["probe"] == 2 and "prefix" in d["peer_name"]'
compare memory --batch 2
json last.json 'd["job"] == "memory" and d["unit"] == "MiB" and 10 < d["ours"] < d["peer"] < 4096'

# bf16 has two peers, timed by turns in the same run.
"$excise" devices | grep -q AVX-512 || exit 0
compare eval --batch 2 --precision bf16
has out "autocast"
json last.json 'd["precision"] == "bf16" and "autocast" not in d["peer_name"]'
json last.json '"autocast" in d["autocast"]["peer_name"] and d["autocast"]["peer"] > 0'
json last.json 'abs(d["autocast"]["ratio"] * d["ours"] / d["autocast"]["peer"] - 1) < 1e-6'
