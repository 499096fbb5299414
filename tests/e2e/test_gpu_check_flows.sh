#!/usr/bin/env bash
# Every part of scripts/gpu_check.sh from end to end, in small sizes: the GPU is the CPU in disguise, the
# sanitizer and PyTorch are stand-ins that run or answer what they are asked; and the targets follow from
# the figures.
source "$(dirname "$0")/cli_common.sh"
build=$1
root=$(cd "$tests/../.." && pwd)
export LD_LIBRARY_PATH=$build/tests/module/driver EXCISE_CUDA_MODULE=$build/tests/module/good.so
"$excise" devices --json 2>/dev/null | grep -q '"auto": "cuda:0"' || { echo "without oneDNN no disguise"; exit 77; }

# --- stand-ins
mkdir path built built/tests built/tests/gpu
cat >path/compute-sanitizer <<'SH'
#!/usr/bin/env bash
[ "$1" != --help ] || { printf '  --report-api-errors arg\n%s\n' "${KERNEL_NAME-  --kernel-name arg}"; exit 0; }
[ -z "${UNSUPPORTED:-}" ] || { echo "========= Error: Device not supported."; exit 1; }
tool=$2 names=
[ "$1 $3 $4" = "--tool --error-exitcode 9" ] || { echo "options: $*"; exit 1; }
shift 4
while [ "$1" = --kernel-name ]; do names="$names $2" && shift 2; done
[ "$1 $2" = "--report-api-errors no" ] || { echo "options: $*"; exit 1; }
shift 2
case $tool in
racecheck) [[ "$names " == *" kns=16conv_rows_kernel "* ]] || { echo "races of others' kernels: $names"; exit 1; } ;;
*) [ -z "$names" ] || { echo "not every kernel: $names"; exit 1; } ;;
esac
"$@"
SH
cat >path/nvidia-smi <<'SH'
#!/usr/bin/env bash
[[ $* != *memory.total* ]] || { echo 4100 && exit; } # for two runs at once
[[ $* == *memory.used* ]] || exit 1
echo 100
[[ $* != *-lms* ]] || { echo 400; exec sleep 60; }
SH
cat >path/python <<'SH'
#!/usr/bin/env bash
[[ ${1:-} == *torch_gpu.py ]] || exec python3 "$@"
case " $* " in
*" --mode compile "*) echo "this PyTorch has no torch.compile" && exit 77 ;;
*" --mode graph "*) echo "out of luck" && exit 1 ;;
esac
echo "a line before"
echo '{"median": 1e6, "unit": "ms"}'
SH
chmod +x path/*
cp "$build/excise" "$build/excise-bench" built/
printf '#!/bin/sh\n[ "$EX_TEST_EXACT" = 1 ] || exit 3\n' >built/tests/gpu/test_kernels_good_gpu
printf '#!/bin/sh\necho "ERROR SUMMARY: 1 error"; exit 9\n' >built/tests/gpu/test_kernels_bad_gpu
chmod +x built/tests/gpu/*
export PATH=$work/path:$PATH PYTHON=$work/path/python EXCISE_BUILD=$work/built EXCISE_OUT=$work/told

checks() { # checks CODE PART...
    local expected=$1 code
    shift
    "$root/scripts/gpu_check.sh" "$@" >out 2>err
    code=$?
    [ $code -eq "$expected" ] || fail "gpu_check.sh $* gave $code, expected $expected: $(tail -n 30 out)"
}
row() { # row WHAT EXPRESSION over the row r
    json told/gpu_check.json "[$2 for r in d['rows'] if r['what'] == '$1'] == [True]"
}

# --- sanitize: an error of one test is one of the whole
checks 1 sanitize
for what in "train under memcheck" "train under racecheck" "train under synccheck" "ablate under memcheck" \
    "ablate under racecheck" "test_kernels_good_gpu under memcheck" "test_kernels_good_gpu under racecheck"; do
    row "$what" 'r["result"] == "ok"'
done
row "test_kernels_bad_gpu under memcheck" 'r["result"] == "failed" and "1 error" in r["detail"]'
json told/gpu_check.json 'd["failed"] == 3'
UNSUPPORTED=1 checks 0 sanitize
row all 'r["result"] == "skipped" and "Device not supported" in r["detail"]'
rm built/tests/gpu/*
KERNEL_NAME= checks 0 sanitize
row "train under racecheck" 'r["result"] == "skipped" and "our kernels alone" in r["detail"]'

# --- what takes longer than it may has failed, unless the part's own time was over
mv built/excise built/kept
printf '#!/bin/sh\nexit 0\n' >built/excise
printf '#!/bin/sh\nsleep 60\n' >built/tests/gpu/test_kernels_hangs_gpu
chmod +x built/excise built/tests/gpu/*
TOOL_SECONDS=1 checks 1 sanitize
row "test_kernels_hangs_gpu under memcheck" 'r["result"] == "failed" and "not done in 1 s" in r["detail"]'
SECONDS_MOST=8 checks 0 sanitize
row "test_kernels_hangs_gpu under memcheck" 'r["result"] == "skipped"'
rm built/tests/gpu/*
mv built/kept built/excise

# --- repeat and bench together; a peer that fails is no failure of ours
REPEATS=10 SMALL=1 PRECISIONS="tf32 fp32" EXCISE_COMMIT=abc checks 0 repeat bench
row "same bits, train fp32 direct" '(r["result"], r["detail"]) == ("ok", "2 runs")'
for what in "step resnet20 fp32" "eval resnet20 fp32" "ablate resnet20 fp32"; do
    json told/gpu_check.json "d['figures']['$what excise']['median'] > 0"
    json told/gpu_check.json "d['figures']['$what excise']['device_mib'] == 300"
    json told/gpu_check.json "d['ratios']['$what']['ratio'] > 1"
    row "$what pytorch eager" 'r["result"] == "1e+06 ms"'
    row "${what/fp32/tf32} excise" 'r["result"] == "skipped" and "tf32" in r["detail"]'
done
for lanes in 1 4 10; do
    json told/gpu_check.json "d['figures']['clients resnet20 fp32 excise, $lanes lanes']['images_per_second'] > 0"
done
row "step resnet20 fp32 pytorch graph" 'r["result"] == "skipped" and "out of luck" in r["detail"]'
row "step resnet20 fp32 pytorch compile" 'r["result"] == "skipped" and "torch.compile" in r["detail"]'
json told/gpu_check.json 'd["commit"] == "abc" and d["failed"] == 0 and d["date"][:2] == "20"'
json told/gpu_check.json '[t["wanted"] for t in d["targets"]] == [8, 2, 0.15, 0.5]'
json told/gpu_check.json '[t["met"] for t in d["targets"]] == [True, None, None, False]'
same out told/gpu_check.txt

# --- no time: what was not done is told, and nothing fails
SECONDS_MOST=3 SMALL=1 checks 0 bench
row "step resnet20 tf32 excise" 'r["detail"] == "no time left"'

# --- a refusal that is not of the precision is a failure
printf '#!/bin/sh\necho "excise: error: unknown option" >&2; exit 2\n' >built/excise-bench
SMALL=1 PRECISIONS=fp32 checks 1 bench
row "step resnet20 fp32 excise" 'r["result"] == "failed" and "unknown option" in r["detail"]'

# --- the targets of known figures: the best of each precision, and of either side's ways
mkdir figures
: >figures/rows.tsv
figure() { printf '%s\t{"median": %s, "unit": "ms", "probe": 1000, "device_mib": %s}\n' "$@" >>figures/figures.tsv; }
figure "clients resnet20 tf32 excise, 1 lanes" 2 1
figure "clients resnet20 tf32 excise, 4 lanes" 1 1
figure "step resnet20 tf32 excise" 3 40
figure "step resnet20 tf32 pytorch eager" 9 80
figure "step resnet20 tf32 pytorch graph" 4 90
figure "step resnet20 tf32 pytorch compile" 1.5 70
figure "clients resnet20 fp32 excise, 4 lanes" 2 1
figure "step resnet20 fp32 pytorch eager" 10 1
figure "ablate resnet20 fp32 excise" 0.2 1
figure "ablate resnet20 tf32 excise" 0.1 1
python3 "$root/scripts/gpu_report.py" write figures "A GPU" "$excise" abc >out || fail "no report"
json figures/gpu_check.json '[(t["measured"], t["met"], t["precision"]) for t in d["targets"]] == [(9, True, "tf32"), (1.5, False, "tf32"), (0.1, True, "tf32"), (0.5, True, "tf32")]'
json figures/gpu_check.json 'd["targets"][0]["by_precision"] == {"tf32": 9, "fp32": 5} and d["ratios"]["step resnet20 tf32"]["peer"].endswith("compile")'
has out "target at least 8    9        tf32 met"

# --- PyTorch's side runs in every way that this PyTorch has, on the CPU
export PYTHON=
find_torch
[ -n "$python" ] || { echo "PyTorch's side was not tried: there is none"; exit 0; }
unset LD_LIBRARY_PATH EXCISE_CUDA_MODULE
for job in "step --mode eager --model cnn" "step --mode graph --model cnn" "eval --model cnn" "ablate --images 64" \
    "ablate --mode graph"; do
    # shellcheck disable=SC2086
    "$python" "$root/bench/peers/torch_gpu.py" $job --device cpu --batch 2 --probe 2 --repetitions 1 \
        >peer.out 2>err || fail "torch_gpu.py $job: $(cat peer.out)"
    tail -n 1 peer.out >peer.json
    json peer.json 'd["median"] > 0 and d["finite"]'
    case $job in ablate*) python3 -c 'import json; print(json.load(open("peer.json"))["value"])' >>counts ;; esac
done
[ "$(sort -u counts | wc -l)" -eq 1 ] || fail "the ways of ablation count differently: $(paste -sd' ' counts)"
