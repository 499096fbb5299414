#!/usr/bin/env bash
# A run goes on as what it began as: what was changed in its folder since is refused, by name.
source "$(dirname "$0")/cli_common.sh"

# cut_back COPY RUN CHECKPOINT: the run as it was before it wrote that checkpoint.
cut_back() {
    cp -r "$2" "$1"
    rm "$1"/{report.json,ledger.json,model.safetensors} "$1/checkpoint/$3"
}

succeeds train -c tiny.yaml -o trained -s rounds=2
cut_back other-seed trained round-2.bin
sed -i 's/^seed: 1/seed: 7/' other-seed/config.yaml
refuses 2 'seed is "7", but the run to resume began with "1"' train -o other-seed --resume
succeeds train -o other-seed --resume -s seed=1
same other-seed/model.safetensors trained/model.safetensors

for method in ce de; do
    succeeds unlearn trained --method $method --class 1 -s unlearn.stop_forget=-1 -o $method
    cut_back other-method-$method $method round-2.bin
    sed -i "s/method: $method/method: head/" other-method-$method/config.yaml
    refuses 2 "unlearn.method is \"head\", but the run to resume began with \"$method\"" \
        unlearn -o other-method-$method --resume

    cut_back no-effects-$method $method round-2.bin
    mv no-effects-$method/effects.csv kept.csv
    refuses 2 "no-effects-$method/effects.csv is gone" unlearn -o no-effects-$method --resume
    mv kept.csv no-effects-$method/effects.csv
    succeeds unlearn -o no-effects-$method --resume
    same no-effects-$method/model.safetensors $method/model.safetensors

    # Effects in the reverse order select other channels.
    cut_back other-effects-$method $method round-2.bin
    python3 - other-effects-$method/effects.csv <<'PY'
import csv, sys
lines = open(sys.argv[1]).read().splitlines()
head = next(i for i, line in enumerate(lines) if not line.startswith("#"))
rows = list(csv.DictReader(lines[head:]))
with open(sys.argv[1], "w") as out:
    out.write("\n".join(lines[:head]) + "\n")
    table = csv.DictWriter(out, rows[0].keys(), lineterminator="\n")
    table.writeheader()
    table.writerows({**row, "loss_delta": other["loss_delta"]}
                    for row, other in zip(rows, reversed(rows)))
PY
    excise unlearn -o other-effects-$method --resume
    [ $? -eq 1 ] || fail "other effects were taken for those that $method began with"
    has err "effects.csv is another than the run began with"
done
