#!/usr/bin/env bash
# The whole job on a GPU, by the program: train, evaluate, ablate, unlearn; the same seed gives the
# same bits, on one lane or several, resumed or not; the profile names kernels.
source "$(dirname "$0")/../e2e/cli_common.sh"
on=(--device cuda -s server.threads=1)

succeeds devices --json
json out 'd["auto"].startswith("cuda") and d["libraries"]["cudnn"] and d["driver"]'
succeeds train -c tiny.yaml "${on[@]}" -s lanes=1 -o one
succeeds train -c tiny.yaml "${on[@]}" -s lanes=4 --algorithms one/algorithms.json -o four
same one/model.safetensors four/model.safetensors
succeeds train -c tiny.yaml "${on[@]}" -s rounds=2 --algorithms one/algorithms.json -o part
succeeds train -o part --resume -s rounds=3
same one/model.safetensors part/model.safetensors
json one/report.json 'd["device"].startswith("cuda") and 0 <= d["test"]["accuracy"] <= 1'
succeeds eval one "${on[@]}" --json
for strategy in naive streams batched; do
    succeeds ablate one "${on[@]}" --class 1 --strategy $strategy -o $strategy.csv
done
for method in ce de head retrain; do
    succeeds unlearn one "${on[@]}" --method $method --class 1 -o $method
done
succeeds train -c tiny.yaml "${on[@]}" -s rounds=1 --profile=p.csv -o profiled
grep -q 'CUDA memcpy HtoD' p.csv || fail "the profile has no copy: $(head -n 5 p.csv)"
grep -q 'kernel' p.csv || fail "the profile has no kernel: $(head -n 5 p.csv)"
