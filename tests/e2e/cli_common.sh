# Sourced by tests that run the built program, with the build folder as $1: a scratch folder, a
# configuration that trains in seconds, and checks that say what they saw.
set -u
excise=${1:?the build folder}/excise
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export EXCISE_CACHE=off # the user's is not the tests'

cat >tiny.yaml <<'YAML'
dataset: synthetic
model: resnet20
train_samples: 400
test_samples: 200
num_clients: 4
rounds: 3
local_epochs: 1
batch_size: 32
lr: 0.05
conv: direct
server: {samples: 100}
unlearn: {rounds: 2, epochs: 2, probe: 8}
YAML

# shrink_jobs UNLEARN: tiny.yaml for jobs that are run dozens of times, with these settings of unlearning.
shrink_jobs() {
    sed -i 's/^train_samples.*/train_samples: 60/; s/^test_samples.*/test_samples: 20/
            s/^num_clients.*/num_clients: 2/; s/^batch_size.*/batch_size: 16/
            s/^server.*/server: {samples: 20, threads: 1}/
            s/^unlearn.*/unlearn: {'"$1"'}/' tiny.yaml
}

# small_pictures FOLDER: two classes, each of a PNG and a JPEG file.
small_pictures() {
    python3 - "$1" "$tests/../fuzz/corpus/picture/seed-jpeg" <<'PY' || fail "no pictures"
import os, shutil, struct, sys, zlib
def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
png = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", 16, 8, 8, 2, 0, 0, 0))
       + chunk(b"IDAT", zlib.compress(bytes(8 * 49))) + chunk(b"IEND", b""))
for name in ("ant", "bee"):
    os.makedirs(f"{sys.argv[1]}/{name}")
    open(f"{sys.argv[1]}/{name}/1.png", "wb").write(png)
    shutil.copy(sys.argv[2], f"{sys.argv[1]}/{name}/2.jpg")
PY
}

fail() {
    printf 'FAIL %s:%s: %s\n' "$(basename "$0")" "${BASH_LINENO[1]}" "$1" >&2
    [ ! -s err ] || sed 's/^/    stderr: /' err >&2
    exit 1
}

# Runs excise with the arguments; the output goes to the files out and err.
excise() {
    "$excise" "$@" >out 2>err
}

# succeeds ARGUMENTS...
succeeds() {
    excise "$@"
    local code=$?
    [ $code -eq 0 ] || fail "excise $* gave $code"
}

# refuses CODE WORDS ARGUMENTS...: this exit status, nothing on stdout, and one error line, the last
# of stderr, that holds the words.
refuses() {
    local expected=$1 words=$2
    shift 2
    excise "$@"
    local code=$?
    [ $code -eq "$expected" ] || fail "excise $* gave $code, expected $expected"
    [ ! -s out ] || fail "excise $* printed to stdout"
    [ "$(grep -c '^excise: error: ' err)" -eq 1 ] || fail "excise $* gave no single error line"
    tail -n 1 err | grep -qF -- "$words" || fail "the error of excise $* lacks: $words"
}

# python = one that has PyTorch; empty if there is none.
find_torch() {
    local candidate
    python=
    for candidate in "${PYTHON:-python3}" /usr/bin/python3; do
        if "$candidate" -c 'import torch, numpy' 2>/dev/null; then
            python=$candidate
            return
        fi
    done
}

# has FILE WORDS: the file holds the words.
has() {
    grep -qF -- "$2" "$1" || fail "$1 lacks: $2"
}

# absent PATH...: nothing is there.
absent() {
    local path
    for path; do
        [ ! -e "$path" ] || fail "$path exists"
    done
}

# present PATH...: a file that is not empty is there.
present() {
    local path
    for path; do
        [ -s "$path" ] || fail "$path is missing or empty"
    done
}

# same FILE FILE: bit for bit.
same() {
    cmp -s "$1" "$2" || fail "$1 and $2 differ"
}

# json FILE EXPRESSION: the Python expression over the object d holds.
json() {
    python3 - "$1" "$2" <<'PY' || fail "$1: not so: $2"
import json, sys
d = json.load(open(sys.argv[1]))
sys.exit(0 if eval(sys.argv[2]) else 1)
PY
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
    local tries=$(($1 * 20))
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || fail "waited in vain for: $*"
        sleep 0.05
    done
}

# interrupt SIGNAL CONDITION ARGUMENTS...: excise gets the signal once the condition holds, and gives 130.
interrupt() {
    local signal=$1 condition=$2 code pid
    shift 2
    "$excise" "$@" >out 2>err &
    pid=$!
    wait_for 60 eval "$condition"
    kill -s "$signal" $pid
    wait $pid
    code=$?
    [ $code -eq 130 ] || fail "excise $* gave $code after SIG$signal"
}
