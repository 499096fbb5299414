# A wrong result of a benchmark is counted, told of and makes the exit status 1, and the JSON object is
# the last line all the same; bench/compare.sh says which side's it is.
source "$(dirname "${BASH_SOURCE[0]}")/cli_common.sh"
planted=$1/faults/planted_bench
compare=$tests/../../bench/compare.sh

# measure PLANT ARGUMENTS...: the last line goes to last.json, the status to $code.
measure() {
    local plant=$1
    shift
    EX_PLANT=$plant "$planted" "$@" --threads 1 --conv direct --json >out 2>err
    code=$?
    tail -n 1 out >last.json
}

# wrong PLANT WORDS ARGUMENTS...
wrong() {
    local plant=$1 words=$2
    shift 2
    measure "$plant" "$@"
    [ $code -eq 1 ] || fail "$plant: status $code"
    json last.json "d['job'] == '$1' and d['wrong'] > 0"
    has err "$words"
    ! grep -q '^excise: error' err || fail "$plant: a failure, not a wrong result"
}

# right PLANT ARGUMENTS...: the same program finds nothing wrong.
right() {
    measure "$@"
    [ $code -eq 0 ] || fail "$*: status $code"
    json last.json 'd["wrong"] == 0'
}

step=(step --batch 2 --repetitions 3)
right "" "${step[@]}"
wrong loss "a loss is not finite" "${step[@]}"
wrong update "the first step differs" "${step[@]}"

eval=(eval --batch 2 --repetitions 3)
right "" "${eval[@]}"
wrong count "images right" "${eval[@]}"

for norm in train frozen; do
    masked=(masked --batch 4 --repetitions 1 --bn $norm)
    right "" "${masked[@]}"
    wrong outside "values outside of the mask" "${masked[@]}"
    wrong idle "and 0 of the" "${masked[@]}"
    wrong gradient "the masked gradient differs" "${masked[@]}"
    wrong "gradient outside" "the masked gradient differs" "${masked[@]}"
done

ablate=(ablate --probe 4 --repetitions 2)
right "" "${ablate[@]}"
wrong cell "1 counts differ from the first pass" "${ablate[@]}"
wrong table "by the definition" "${ablate[@]}"

kernels=(kernels --batch 2 --repetitions 1)
right "" "${kernels[@]}"
wrong threads "accumulate_fixed: other bits" "${kernels[@]}"
json last.json '[k["name"] for k in d["kernels"] if k["wrong"]] == ["accumulate_fixed"] and d["wrong"] == 1'
wrong nothing "flatten_fwd: wrote nothing" "${kernels[@]}"

wrong images "trained on" clients --batch 2 --samples 2 --repetitions 1
wrong flop "operations were counted" roofline --batch 2 --repetitions 1

# Effects that are known: two orders of every layer's channels, in every second class. resnet20 has layers
# of 16, 32, 64 and 10 channels, of which 0.05 selects at most 3: none of both orders.
measure effects ablate --probe 4 --repetitions 1 --selection
json last.json 'd["selection"] == {"delta": 0.05, "selected": 4 * (7 * 1 + 6 * 2 + 6 * 3 + 1),
    "both": 2 * (7 * 1 + 6 * 2 + 6 * 3 + 1), "share": 0.5}'
# Of all channels both orders select the same.
measure effects ablate --probe 4 --repetitions 1 --selection --delta 1
json last.json 'd["selection"]["share"] == 1'

# --- compare.sh, where nothing is built and PyTorch is a script
mkdir built path
touch built/CMakeCache.txt
printf '#!/bin/sh\n' >path/cmake
cat >built/excise-bench <<SCRIPT
#!/bin/sh
[ -z "\${OURS_FAIL:-}" ] || exit 1
EX_PLANT=\${OURS:-} exec "$planted" "\$@" --conv direct
SCRIPT
cat >path/python <<'SCRIPT'
#!/bin/sh
case "$1 $2" in
"-c import torch") exit 0 ;;
*torch_peer.py*) ;;
*) exec python3 "$@" ;;
esac
echo '{"trial_seconds": 1, "use": "nchw,loop", "median": 1, "peak_mib": 1, "precision": "fp32",' \
    '"peer": "pytorch", "version": "0", "finite": '"${THEIRS:-true}"'}'
case " $* " in *" --trial "*) exit 0 ;; esac
[ "${THEIRS:-true}" = true ]
SCRIPT
chmod +x built/excise-bench path/cmake path/python

# beside CODE SIDES: a comparison, with OURS and THEIRS, ends like this.
beside() {
    PATH=$work/path:$PATH PYTHON=$work/path/python EXCISE_BUILD=$work/built \
        "$compare" step --batch 2 --threads 1 --rounds 2 --repetitions 3 >out 2>err
    code=$?
    [ $code -eq "$1" ] || fail "compare.sh gave $code, expected $1"
    [ $# -lt 2 ] || { tail -n 1 out >last.json && json last.json "d['wrong_sides'] == $2"; }
}
beside 0 '[]'
OURS=loss beside 1 "['excise'] and d['wrong'] == 2"
has err "error: wrong results of excise: "
THEIRS=false beside 1 "['pytorch 0'] and d['wrong'] == 0 and d['peer_wrong'] == 2"
has err "error: wrong results of pytorch 0: "
OURS_FAIL=1 beside 1
has err "excise-bench gave 1"
[ ! -s out ] || fail "a comparison of nothing"
