#!/usr/bin/env bash
# Runs on CIFAR's two data sets, of files made here: CIFAR-100's fine classes and their names, and a
# CIFAR-10 that is not all there.
source "$(dirname "$0")/cli_common.sh"

# Images of noise around a colour of their fine class; coarse labels lead elsewhere.
python3 - <<'PY' || fail "no data"
import os, random
draw = random.Random(7)
os.mkdir("hundred")
os.mkdir("ten")
def image(label):
    planes = [(label * step) % 256 for step in (61, 131, 211)]
    return bytes(min(255, max(0, plane + draw.randrange(-20, 21))) for plane in planes
                 for _ in range(1024))
def records(count, classes, coarse):
    labels = [classes[i % len(classes)] for i in range(count)]
    return b"".join(bytes([draw.randrange(20), k] if coarse else [k]) + image(k) for k in labels)
classes = [3, 42, 77, 99]
for name, count in ("train", 120), ("test", 40):
    with open(f"hundred/{name}.bin", "wb") as file:
        file.write(records(count, classes, True))
with open("hundred/fine_label_names.txt", "w") as file:
    file.writelines(f"kind_{k}\n" for k in range(100))
for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
    with open(f"ten/{name}.bin", "wb") as file:
        file.write(records(20, range(10), False))
PY
sed -i 's/^dataset.*/dataset: cifar100/; s/^train_samples.*/train_samples: 0/; s/^test_samples.*/test_samples: 0/' tiny.yaml
sed -i 's/^num_clients.*/num_clients: 2/; s/^batch_size.*/batch_size: 8/; s/^server.*/server: {samples: 40}/' tiny.yaml

# --- CIFAR-100: trained, evaluated, and a class unlearned by its name
succeeds train -c tiny.yaml -s data_dir="$work/hundred" -s lr=0.01 -s rounds=6 -o run
json run/report.json 'len(d["test"]["per_class"]) == 100'
json run/report.json '[k for k, a in enumerate(d["test"]["per_class"]) if a is not None] == [3, 42, 77, 99]'
json run/report.json 'd["test"]["accuracy"] >= 0.7 and d["test"]["count"] == 40' # 0.25 is chance
succeeds unlearn run --method head --class kind_42 -s unlearn.lr=0.1 -s unlearn.epochs=10 -o head
json head/report.json 'd["class"] == 42 and d["class_name"] == "kind_42"'
json head/report.json 'd["after"]["forget_test"] <= 0.01 and d["after"]["retain_test"] >= 0.5'
refuses 2 "kind_100" unlearn run --method head --class kind_100 -o none
# a file that lies about its records is named
truncate -s 3000 hundred/test.bin
refuses 2 "hundred/test.bin is truncated: 3000 bytes" train -c tiny.yaml -s data_dir="$work/hundred" -o none
has err "scripts/get_data.sh cifar100"

# --- CIFAR-10: all of it without a word, less of it with one, a gap not at all
sed -i 's/^dataset.*/dataset: cifar10/' tiny.yaml
one=(train -c tiny.yaml -s data_dir="$work/ten" -s rounds=1 -s conv=direct)
succeeds "${one[@]}" -o whole
! grep -q "of the 5 training files" err || fail "a whole CIFAR-10 is said not to be"
rm ten/data_batch_5.bin ten/data_batch_4.bin
succeeds "${one[@]}" --quiet -o less
has err "ten has 3 of the 5 training files of CIFAR-10, without data_batch_4.bin"
cp ten/data_batch_1.bin ten/data_batch_5.bin
refuses 2 "ten has data_batch_5.bin, but no data_batch_4.bin before it" "${one[@]}" -o none
absent none
