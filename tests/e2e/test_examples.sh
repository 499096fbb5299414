#!/usr/bin/env bash
# The commands that the README and each --help show run as they stand there, in that order; only the
# data are synthetic and few.
source "$(dirname "$0")/cli_common.sh"
top=$tests/../..
sed -i 's/^server:.*/server: {samples: 100, threads: 1}/' tiny.yaml

# A fresh folder in which the names that examples use stand for something small.
begin() {
    rm -rf scene
    mkdir -p scene/bench
    cp tiny.yaml scene/exp.yaml
    cp tiny.yaml scene/bench/demo_fashion_mnist.yaml
    ln -s "$top/scripts" scene/scripts
    cd scene || exit 1
    excise() { "$excise" "$@"; }
}

# run COMMAND: one line of an example, which must give 0.
run() {
    printf '%s\n' "$1" >>"$work/ran"
    (eval "$1") >"$work/out" 2>"$work/err" || { cp "$work/err" err; fail "$1"; }
}

# lines FILE: shell lines, continued ones joined.
lines() {
    sed -e ':a' -e '/\\$/{N; s/\\\n */ /; ba' -e '}' "$1"
}

examples_of() { # examples_of COMMAND: what its --help shows
    "$excise" "$1" --help | sed -n '/^Example:$/,/^$/{/^  /s/^  //p}'
}

# --- --help: train's runs are what the others read, so that it comes first
: >ran
begin
for command in train ablate unlearn eval convert devices; do
    examples_of $command >examples
    [ -s examples ] || fail "$command --help has no example"
    case $command in
    eval) cp runs/demo/train/model.safetensors . ;;
    convert)
        rm model.safetensors
        cp -r runs/demo/ce runs/ce
        excise convert runs/demo/train mine.safetensors --to pytorch --naming kuangliu >/dev/null ;;
    esac
    while IFS= read -r line; do
        run "$line"
    done < <(lines examples)
done
cd "$work" || exit 1

# --- the README: its own command lines, from top to bottom
begin
sed -n 's/^    build\/excise /excise /p; s/^    scripts\/plot_run/scripts\/plot_run/p' "$top/README.md" >examples
[ "$(wc -l <examples)" -ge 8 ] || fail "only $(wc -l <examples) commands in README.md"
python3 -c 'import matplotlib' 2>/dev/null || sed -i '/plot_run/d' examples
sed -i 's/ *#.*//' examples
while IFS= read -r line; do
    case $line in
    *"convert mine.safetensors"*)
        excise convert runs/mine mine.safetensors --to pytorch --naming kuangliu >/dev/null ;;
    esac
    run "$line"
done <examples
cd "$work" || exit 1
[ "$(wc -l <ran)" -ge 18 ] || fail "only $(wc -l <ran) examples were run"
