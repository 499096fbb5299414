# Peak resident memory of a training step at batch 128 is at most 0.6 of PyTorch's. The peer runs the way
# that is its fastest on these models (bench/README.md), which a trial here might not find.
source "$(dirname "${BASH_SOURCE[0]}")/cli_common.sh"
find_torch
[ -n "$python" ] || {
    echo "no PyTorch: run scripts/setup.sh --peers" >&2
    exit 77
}
! grep -q __asan_init "$excise" || {
    echo "not tried in this build, whose sanitizer has memory of its own" >&2
    exit 77
}
peer=$tests/../../bench/peers/torch_peer.py
export OMP_NUM_THREADS=2 # as compare.sh has it for both

# peak FILE: MiB.
peak() {
    "$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["peak_mib"])' "$1"
}

for model in resnet20 vgg11; do
    both=(step --model $model --batch 128 --threads 2 --repetitions 1)
    excise bench "${both[@]}" --device cpu --json || fail "bench step of $model"
    tail -n 1 out >ours.json
    json ours.json 'd["wrong"] == 0'
    "$python" "$peer" "${both[@]}" --use channels_last,loop >theirs.json 2>err || fail "PyTorch's step of $model"
    echo "$model: $(peak ours.json) MiB, PyTorch $(peak theirs.json) MiB"
    json ours.json "10 < d['peak_mib'] <= 0.6 * $(peak theirs.json)"
done
