#!/usr/bin/env bash
# --help names every option that is parsed, and what it names is parsed.
source "$(dirname "$0")/cli_common.sh"

succeeds --version
has out "excise 0."
for library in onednn zlib jansson libyaml; do
    has out "$library"
done
succeeds --help
for command in train eval ablate unlearn convert devices bench; do
    has out "  $command "
done

options="--config --set --device --precision --seed --threads --lanes --memory --algorithms --profile --json --quiet --verbose --help"
check() { # check COMMAND OPTION...: exactly these, besides the common ones
    local command=$1 option
    shift
    succeeds "$command" --help
    has out "Example:"
    has out "excise $command "
    # shellcheck disable=SC2086
    printf '%s\n' "$@" | sort >expected
    sed -n '/^Options:/,/^$/s/^  \(-[a-z],\|   \) \(--[a-z-]*\).*/\2/p' out | sort >found
    diff expected found >difference || fail "options of $command: $(cat difference)"
    while read -r option; do
        excise "$command" "$option" && continue # flags, with --help or alone
        ! grep -q "unknown" err || fail "$command does not know its $option"
    done <found
}
# shellcheck disable=SC2086
{
    check train $options --output --resume --overwrite --dry-run
    check eval $options --train --class --logits --overwrite
    check convert --from --to --arch --shape --like --naming --overwrite --json --quiet --verbose --help
    check ablate $options --output --class --probe --strategy --overwrite
    check unlearn $options --output --method --class --delta --effects --resume --overwrite
    check devices --json --quiet --verbose --help
}
succeeds bench --help

# --- the reference of the configuration names every key that config.yaml has
succeeds train --help
cp out reference
succeeds train -c tiny.yaml -s rounds=1 -o run
python3 - run/config.yaml reference <<'PY' || fail "the reference lacks keys"
import re, sys
section, missing = "", []
reference = open(sys.argv[2]).read()
for line in open(sys.argv[1]):
    m = re.match(r"( *)([a-z_]+):( .*)?$", line)
    if not m:
        continue
    if not m[1]:
        section = "" if m[3] else m[2] + "."
        if not m[3]:
            continue
    key = (section if m[1] else "") + m[2]
    if not re.search(r"^  " + re.escape(key) + " ", reference, re.M):
        missing.append(key)
print(missing)
sys.exit(bool(missing))
PY

succeeds devices
has out "cpu"
has out "cuda"
has out "auto"
succeeds devices --json
json out '{r["name"].split(":")[0] for r in d["devices"]} == {"cpu", "cuda"}'
