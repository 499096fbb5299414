#!/usr/bin/env bash
# The CUDA module is found, refused with a reason, or used, with stand-ins for the driver and for the
# module (tests/module), so that neither a GPU nor CUDA is needed.
build=${1:?the build folder}
source "$(dirname "$0")/cli_common.sh"
modules=$build/tests/module

train() { # train WORDS...: a round on the device that the words name
    excise train -c tiny.yaml -s rounds=1 -s server.threads=1 -s lanes=1 "$@"
}
refused() { # refused WORDS: --device cuda ends with 2 and these words
    refuses 2 "$1" train -c tiny.yaml --device cuda -o new
    absent new
}

agree() { # devices --json and --version tell the same libraries, whether there is a GPU or not
    succeeds --version
    sed -nE 's/^  ([a-z]+) +(.*)/\1 \2/p' out >versions
    succeeds devices --json
    python3 - versions out <<'PY' || fail "devices --json and --version differ"
import json, sys
told = dict(line.rstrip("\n").split(" ", 1) for line in open(sys.argv[1]))
libraries = json.load(open(sys.argv[2]))["libraries"]
told.pop("commit")
assert told.keys() == libraries.keys(), (told, libraries)
for name, version in libraries.items():
    assert version == told[name] if version else not told[name][0].isdigit(), (name, version, told[name])
PY
}
agree
EXCISE_CUDA_MODULE=$modules/good.so agree
json out 'd["libraries"]["cuda"] == "98.7"'

# --- without a driver (a real one would be found)
if ! python3 -c 'import ctypes; ctypes.CDLL("libcuda.so.1")' 2>/dev/null; then
    refused "there is no NVIDIA driver"
    succeeds devices
    has out "cuda      not usable: there is no NVIDIA driver"
    has out "auto      takes cpu"
    train --device auto -o on-cpu || fail "no run on the CPU"
    ! grep -q "GPU" err || fail "a machine without a GPU is told about GPUs"
    has err "cpu: "
    succeeds devices --json
    json out 'd["auto"] == "cpu" and d["driver"] is None'
fi

# --- a driver that has no GPU, or none that works
export LD_LIBRARY_PATH=$modules/driver${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export EXCISE_CUDA_MODULE=$work/nowhere.so
STAND_IN_INIT=100 refused "CUDA_ERROR_NO_DEVICE to cuInit (no CUDA-capable device is detected)"
STAND_IN_INIT=999 refused "an unknown error to cuInit"
STAND_IN_GPUS=0 refused "shows no GPU"

# --- as many hardware queues as there are, unless the user says another number
STAND_IN_CONNECTIONS=$work/connections succeeds devices
[ "$(cat connections)" = 32 ] || fail "the driver starts with $(cat connections) connections"
CUDA_DEVICE_MAX_CONNECTIONS=5 STAND_IN_CONNECTIONS=$work/connections succeeds devices
[ "$(cat connections)" = 5 ] || fail "the user's 5 connections become $(cat connections)"

# --- a GPU, but no module that can be used
refused "EXCISE_CUDA_MODULE is $work/nowhere.so: No such file"
echo "no library" >"$work/text.so"
EXCISE_CUDA_MODULE=$work/text.so refused "text.so cannot be loaded: "
EXCISE_CUDA_MODULE=text.so refused "$work/text.so cannot be loaded: " # in the working folder
EXCISE_CUDA_MODULE=$modules/no_entry.so refused "no_entry.so is no module of excise"
EXCISE_CUDA_MODULE=$modules/other_abi.so refused "was built from another version of excise: its interface has number"
EXCISE_CUDA_MODULE=$modules/other_build.so refused "was built from another version of excise, 0.0.9 (0123456789abcdef)"
if [ ! -e "$build/libexcise_cuda.so" ]; then
    EXCISE_CUDA_MODULE='' refused "is neither in $(realpath "$build")"
fi
STAND_IN_GPUS=2 succeeds devices --json
json out '[r["name"] for r in d["devices"]] == ["cpu", "cuda:0", "cuda:1"]'
json out 'not d["devices"][2]["usable"] and "nowhere.so" in d["devices"][2]["reason"]'
json out 'd["devices"][2]["gpu"] == "Stand-in 1" and d["devices"][2]["memory_bytes"] == 80000000001'
json out 'd["devices"][1]["compute_capability"] == "9.0"'
succeeds devices
has out "cuda:0    Stand-in 0, 80.0 GB, compute capability 9.0; not usable: EXCISE_CUDA_MODULE is"
has out "for CUDA 13.0"
succeeds --version
has out "cuda       EXCISE_CUDA_MODULE is $work/nowhere.so"
EXCISE_CUDA_MODULE=$modules/good.so succeeds --version
has out "cuda       98.7"
has out "cublaslt   98.7.6"

# --- a module that works: its errors and its log are the program's
export EXCISE_CUDA_MODULE=$modules/good.so
STAND_IN_PROBE=planted refused "the probe of the module fails: planted"
"$excise" eval --help >/dev/null || fail "eval --help"
grep -q '"onednn": "' <("$excise" devices --json 2>/dev/null) || { echo "without oneDNN no device: the rest is skipped"; exit 0; }
STAND_IN_PROBE=planted train --device auto -o on-cpu --overwrite || fail "no run on the CPU"
has err "warning: the GPU is not used: the probe of the module fails: planted"
has err "cpu: "
STAND_IN_OPEN=planted refused "the module opens no device: planted" # a GPU that is too old, say
STAND_IN_OPEN=planted train --device auto -o on-cpu --overwrite || fail "no run on the CPU"
has err "warning: the GPU is not used: the module opens no device: planted"
has err "cpu: "
refuses 2 "tf32 is for GPUs" train -c tiny.yaml --device cuda:0 --precision tf32 -o new
excise train -c tiny.yaml --device cuda:0 --precision tf32 -o new --verbose
has err "engine/cpu/device.c:"
succeeds devices
has out "cuda:0    "
has out "libraries cuda 98.7, cudnn 9.8.7, cublaslt 98.7.6"
has out "auto      takes cuda:0"
train --device auto -o on-cuda || fail "no run in the module"
has err "a line?of the module"
has err "warning: a warning of the module"
has err "cuda:0: "
json on-cuda/report.json 'd["device"] == "cuda:0" and d["libraries"]["cudnn"] == "9.8.7"'
same on-cuda/model.safetensors on-cpu/model.safetensors
json on-cpu/report.json 'd["device"] == "cpu"'
train --device cuda --quiet -o on-cuda --overwrite || fail "no quiet run in the module"
[ "$(cat err)" = "warning: a warning of the module" ] || fail "--quiet does not reach the module"

# --- the profile of what ran on GPUs
if [ -d "$modules/cupti" ]; then
    # (a real one may be found, which without a GPU has nothing to tell either)
    refuses 2 "CUPTI" train -c tiny.yaml --device cuda --profile -o new
    refuses 2 "CUPTI" train -c tiny.yaml --device auto --profile -o new
    absent new
    export LD_LIBRARY_PATH=$modules/cupti:$LD_LIBRARY_PATH
    STAND_IN_CUPTI=39 refuses 2 "another profiler holds CUPTI (cuptiActivityEnable gives MULTIPLE_SUBSCRIBERS)" \
        train -c tiny.yaml --device cuda --profile -o new
    STAND_IN_CUPTI=35 refuses 2 "not permitted here" train -c tiny.yaml --device cuda --profile -o new
    absent new
    train --device cuda --profile=gpu.csv -o on-cuda --overwrite || fail "no profiled run in the module"
    has err "not measured: 6 calls"
    sed 's/^[0-9.]*,//' gpu.csv >rows
    sort rows >found
    sort >expected <<'CSV'
time_percent,time_s,calls,average_s,minimum_s,maximum_s,first_calls,first_s,name
8e-06,1,8e-06,8e-06,8e-06,0,0,"plain_kernel"
4e-06,2,2e-06,1e-06,3e-06,0,0,"sgd_kernel(float*, int)"
2e-06,1,2e-06,2e-06,2e-06,0,0,"[CUDA memcpy HtoD]"
1.5e-06,1,1.5e-06,1.5e-06,1.5e-06,0,0,"[CUDA memcpy DtoH]"
5e-07,1,5e-07,5e-07,5e-07,0,0,"[CUDA memset]"
CSV
    diff expected found >difference || fail "the profile differs: $(cat difference)"
fi

# --- where it is looked for: beside the program, then in lib of an installed tree
unset EXCISE_CUDA_MODULE
mkdir -p usr/bin usr/lib
cp "$excise" usr/bin/
relative=$("$work/usr/bin/excise" --version | sed -n 's/.* neither in .* nor in [^;]*\/usr\/bin\/\([^;]*\); .*/\1/p')
[ -n "$relative" ] || fail "the program does not tell where it looks"
mkdir -p "usr/bin/$relative"
cp "$modules/good.so" "usr/bin/$relative/libexcise_cuda.so"
usr/bin/excise --version >out 2>err
has out "cuda       98.7"
cp "$modules/other_abi.so" usr/bin/libexcise_cuda.so
usr/bin/excise --version >out 2>err
has out "interface has number"

# --- the real one, where it is built: one symbol, no driver among its needs
if [ -e "$build/libexcise_cuda.so" ]; then
    nm -D --defined-only "$build/libexcise_cuda.so" | awk '{ print $3 }' >exported
    [ "$(cat exported)" = excise_cuda_module ] || fail "the module exports $(cat exported)"
    ! readelf -d "$build/libexcise_cuda.so" | grep -q 'NEEDED.*libcuda\.so' || fail "the module needs a driver"
    "$excise" --version >out
    grep -qE '^  cuda +[0-9]+\.[0-9]+$' out || fail "--version does not tell CUDA's"
fi
