#!/usr/bin/env bash
# scripts/gpu_check.sh tells what it did and did not, with a GPU (a stand-in) and without one. The build
# is a stand-in too: it takes the programs of the build under test.
source "$(dirname "$0")/cli_common.sh"
build=$1
check=$(cd "$tests/../.." && pwd)/scripts/gpu_check.sh

mkdir path
cat >path/cmake <<SH
#!/usr/bin/env bash
[ ! -e "$work/broken" ] || { echo "no build today"; exit 1; }
if [ "\$1" = --build ]; then cp "$build/excise" "$build/excise-bench" "\$2/"; else mkdir -p "\$4" && touch "\$4/CMakeCache.txt"; fi
SH
chmod +x path/cmake
export PATH=$work/path:$PATH EXCISE_BUILD=$work/built EXCISE_OUT=$work/told

checks() { # checks CODE PART...
    local expected=$1 code
    shift
    "$check" "$@" >out 2>err
    code=$?
    [ $code -eq "$expected" ] || fail "gpu_check.sh $* gave $code, expected $expected: $(tail -n 3 out err)"
}

checks 2 nonsense
has err 'unknown part "nonsense"; one of build test sanitize repeat bench'

# --- no GPU: what can be built is, and that is said
if ! "$excise" devices 2>/dev/null | grep -q '^cuda:0'; then
    checks 2
    has err "there is no GPU here"
    present built/excise told/gpu_check.txt
    json told/gpu_check.json 'd["gpu"] is None and d["failed"] == 0 and d["devices"]["auto"] != "cuda:0"'
    json told/gpu_check.json '[r["result"] for r in d["rows"] if r["part"] == "build"] == ["ok", "ok", "skipped"]'
    json told/gpu_check.json '{r["part"]: r["result"] for r in d["rows"]} == {"build": "skipped", "test": "skipped", "sanitize": "skipped", "repeat": "skipped", "bench": "skipped"}'
    same out told/gpu_check.txt
    touch broken
    checks 1 build
    has out "no build today"
    rm broken
fi

# --- a GPU that is the CPU in disguise; one that excise cannot use is no reason to skip
export LD_LIBRARY_PATH=$build/tests/module/driver EXCISE_CUDA_MODULE=$build/tests/module/good.so
checks 1 build
has out "gpu_check on Stand-in 0"
json told/gpu_check.json '[r["what"] for r in d["rows"] if r["result"] == "failed"] == ["module"]'
rm -r built
checks 1 repeat
has out "run the part build first"
checks 1 build # the module is missing, but the program is there
"$excise" devices --json 2>/dev/null | grep -q '"auto": "cuda:0"' || { echo "without oneDNN no disguise"; exit 0; }
STAND_IN_PROBE=planted checks 1 test
has out "the probe of the module fails: planted"
REPEATS=10 checks 0 repeat
for kind in "train fp32 direct" "ablate fp32 direct" "train fp32 auto"; do
    json told/gpu_check.json "[(r['result'], r['detail']) for r in d['rows'] if r['what'] == 'same bits, $kind'] == [('ok', '2 runs')]"
done
json told/gpu_check.json '[r["result"] for r in d["rows"] if "tf32" in r["what"]] == ["skipped"] and len(d["rows"]) == 5'
present told/repeat/2/algorithms.json
# Fewer runs than were wanted have shown less.
printf '#!/usr/bin/env bash\ncase $* in */repeat/1[0-9]*) exec sleep 60 ;; esac\nexec "%s" "$@"\n' "$build/excise" >built/excise
SECONDS_MOST=16 REPEATS=20 checks 0 repeat
json told/gpu_check.json '{r["result"] for r in d["rows"]} == {"skipped"}'
grep -q "2 of 4 runs have the same bits; no time for the others" out || has out "no time for two runs"
printf '#!/usr/bin/env bash\nexec "%s" "$@" -s seed=$RANDOM\n' "$build/excise" >built/excise
REPEATS=6 checks 1 repeat
has out "differs from the first"
