#!/usr/bin/env bash
# Models under the names of public PyTorch collections come in by `convert` with the logits that they
# have in PyTorch, are evaluated and unlearned, and go back under their own names. Without PyTorch (77)
# what needs none of it.
source "$(dirname "$0")/cli_common.sh"

succeeds train -c tiny.yaml -s rounds=1 -s num_clients=1 -s model=resnet20-projection -o run
# There and back under each naming that has the model's names: bit for bit the same tensors.
for naming in torchvision kuangliu weiaicunzai excise; do
    succeeds convert run "$naming.safetensors" --to pytorch --naming "$naming"
    succeeds convert "$naming.safetensors" "back-$naming.safetensors" --from pytorch --json
    json out "d['model'] == 'resnet20-projection' and d['naming'] == '$naming' and d['prefix'] == ''"
    succeeds eval "back-$naming.safetensors" -c tiny.yaml -s model=resnet20-projection --logits "$naming.logits"
done
same torchvision.logits excise.logits
same kuangliu.logits excise.logits
same weiaicunzai.logits excise.logits
succeeds eval run --logits run.logits
refuses 2 "run.logits exists" eval run --logits run.logits
succeeds eval run --logits run.logits --overwrite
same run.logits excise.logits

# A cnn depends on the size of its images: told, found in the file, or one of the usual ones.
python3 - <<'PY' || fail "no models"
import json, struct
def cnn(path, channels, side, metadata=None, less=None):
    flat = 64 * ((side - 4) // 2) ** 2
    shapes = {"conv1.weight": (32, channels, 3, 3), "conv1.bias": (32,), "conv2.weight": (64, 32, 3, 3),
              "conv2.bias": (64,), "fc1.weight": (128, flat), "fc1.bias": (128,),
              "fc2.weight": (10, 128), "fc2.bias": (10,)}
    header, at = {"__metadata__": metadata} if metadata else {}, 0
    shapes.pop(less, None)
    for name, shape in shapes.items():
        size = 4
        for n in shape:
            size *= n
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + bytes(at))
cnn("gray28", 1, 28)
cnn("rgb64", 3, 64)
cnn("rgb40", 3, 40)
cnn("told40", 3, 40, {"height": "40", "width": "40"})
cnn("wrong40", 3, 40, {"height": "28", "width": "28"})
cnn("less40", 3, 40, less="fc1.bias")
PY
for model in gray28:1:28 rgb64:3:64 told40:3:40; do
    IFS=: read -r name channels side <<<"$model"
    succeeds convert "$name" "$name.cnn" --from pytorch --json
    json out "d['model'] == 'cnn' and d['channels'] == $channels and d['height'] == d['width'] == $side"
    succeeds convert "$name.cnn" "$name.back" --to pytorch --like "$name"
done
refuses 2 "rgb40 does not fit cnn with 10 classes for images of 3 x 32 x 32: 1 tensor of another shape (fc1.weight is 128 x 20736, expected 128 x 12544)" \
    convert rgb40 x --from pytorch
has err "cnn depends on the size of the images: name it by --shape CxHxW"
has err "  of another shape fc1.weight is 128 x 20736, expected 128 x 12544" # a line a tensor
! grep -q "looks like" err || fail "a cnn is said to look like a cnn"
refuses 2 "fc1.weight is 128 x 20736, expected 128 x 9216" convert wrong40 x --from pytorch
for shape in 3x40x40 40x40; do
    succeeds convert rgb40 rgb40.cnn --from pytorch --shape $shape --overwrite
    has out "images          40 x 40"
done
succeeds convert rgb40.cnn rgb40.back --to pytorch --like rgb40
succeeds convert wrong40 wrong40.cnn --from pytorch --shape 3x40x40
refuses 2 "it fits images of that size: --shape 3x64x64" convert rgb64 x --from pytorch --shape 3x32x32
refuses 2 "conv1.weight is 32 x 1 x 3 x 3, expected 32 x 3 x 3 x 3" convert gray28 x --from pytorch --shape 3x28x28
for shape in 3 3x0x3 3x32x32x 3x32x32x1 -3x32x32 axb "" 3x-1x2 99999x1x1; do
    refuses 2 "CxHxW or HxW of the images is expected" convert rgb40 x --from pytorch --shape="$shape"
done
# eval, too, tells what another size of images is
refuses 2 "it was made for images of 40 x 40" eval rgb40.cnn -c tiny.yaml -s model=cnn

# --like is of the same architecture, whatever its size and classes, and has all of its tensors
refuses 2 "gray28 holds a cnn, but the model is a resnet20-projection; name the file that the model came from" \
    convert run x --to pytorch --like gray28
refuses 2 "torchvision.safetensors holds a resnet20-projection, but the model is a cnn" \
    convert rgb64.cnn x --to pytorch --like torchvision.safetensors
refuses 2 "less40 does not fit cnn with 10 classes for images of 3 x 64 x 64: 1 tensor missing (fc1.bias)" \
    convert rgb64.cnn x --to pytorch --like less40
succeeds convert rgb64.cnn x --to pytorch --like rgb40
same x rgb64.back
rm x
refuses 2 "sequential\" has no name for conv_bn.bn" convert run x --to pytorch --naming sequential
refuses 2 'one of excise, torchvision, kuangliu' convert run x --to pytorch --naming tensorflow
refuses 2 "--from pytorch or --to pytorch" convert run x
refuses 2 '"caffe"; pytorch is expected' convert run x --from caffe
refuses 2 "needs --like" convert run x --to pytorch
refuses 2 "goes with --to" convert run x --from pytorch --naming kuangliu
refuses 2 "torchvision.safetensors exists; name another file, or add --overwrite" convert run torchvision.safetensors --from pytorch
refuses 2 "a file to write is expected after run" convert run --from pytorch
refuses 2 'model is "resnet99"; one of resnet20' convert run x --from pytorch --arch resnet99
refuses 2 "--arch resnet20-projection" convert torchvision.safetensors x --from pytorch --arch resnet20
has err "layer2.0.downsample.0.weight"
printf 'PK\3\4 an archive of zip' >pickle.pth
refuses 2 "pickle of torch.save" convert pickle.pth x --from pytorch
absent x

find_torch
if [ -z "$python" ]; then
    echo "no Python with PyTorch: the rest is skipped (scripts/setup.sh --peers installs it)"
    exit 77
fi
convert=$tests/torch_convert.py

mkdir data models
"$python" "$convert" make data models >list || fail "no data and models"
sed 's/synthetic/cifar10/; s/_samples: [0-9]*/_samples: 0/' tiny.yaml >torch.yaml
printf 'data_dir: %s\nnormalize: {mean: [0.5, 0.4, 0.3], std: 0.25}\n' "$work/data" >>torch.yaml

while read -r name arch; do
    succeeds convert "models/$name" ours --from pytorch --overwrite --json
    json out "d['model'] == '$arch'"
    succeeds eval ours -c torch.yaml -s model="$arch" --logits "models/$name.logits"
    succeeds convert ours "models/$name.back" --to pytorch --like "models/$name"
done <list

"$python" "$convert" check data models || fail "PyTorch sees something else"

# The README's way, by its own lines: out of the module that a model was trained in, evaluated and
# unlearned, and back into it. Where there is no safetensors, what stands in for it knows the format.
readme=$tests/../../README.md
sed -n '/^```python$/,/^```$/p' "$readme" | sed '1d;$d' >out.py
sed -n 's/^and `\(.*\)` goes on in Python.*/\1/p' "$readme" >back.py
sed -n '/^    build\/excise convert mine/,/--like mine/p' "$readme" >lines.sh
[ "$(wc -l <out.py) $(wc -l <back.py) $(wc -l <lines.sh)" = "2 1 4" ] || fail "the README's lines are not found"
packages=$tests
if ! "$python" -c 'import safetensors.torch' 2>/dev/null; then
    mkdir -p standin/safetensors
    : >standin/safetensors/__init__.py
    cat >standin/safetensors/torch.py <<'PY'
import json

import numpy as np
import torch

KINDS = {"F32": "<f4", "I64": "<i8"}


def save_file(tensors, filename):
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    arrays = {name: np.ascontiguousarray(a, {"f": "<f4", "i": "<i8"}[a.dtype.kind])
              for name, a in arrays.items()}
    ends = np.cumsum([a.nbytes for a in arrays.values()]).tolist()
    header = {name: {"dtype": {"f": "F32", "i": "I64"}[a.dtype.kind], "shape": a.shape,
                     "data_offsets": [end - a.nbytes, end]}
              for (name, a), end in zip(arrays.items(), ends)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(filename, "wb") as file:
        file.write(np.uint64(len(text)).tobytes() + text)
        file.writelines(a.tobytes() for a in arrays.values())


def load_file(filename):
    size = int(np.fromfile(filename, "<u8", 1)[0])
    with open(filename, "rb") as file:
        header = json.loads(file.read(8 + size)[8:])
    header.pop("__metadata__", None)
    body = np.fromfile(filename, np.uint8, offset=8 + size)
    return {name: torch.from_numpy(body[slice(*t["data_offsets"])].view(KINDS[t["dtype"]])
                                   .reshape(t["shape"]).copy()) for name, t in header.items()}
PY
    packages=$tests:$work/standin
fi
cp torch.yaml exp.yaml # of a resnet20
mkdir build runs
ln -s "$excise" build/excise
cat >module.py <<'PY'
import sys

import torch_public

model, _ = torch_public.make("akamaster-resnet20")
PY
PYTHONPATH=$packages "$python" <(cat module.py out.py) 2>err || fail "the README's lines of Python: out"
bash -e lines.sh >out 2>err || fail "the README's commands"
succeeds eval runs/theirs-ce --logits unlearned.safetensors
cat >compare.py <<'PY'
import torch
from torch_convert import test_images
from safetensors.torch import load_file

x = test_images("data")


def logits():
    with torch.no_grad():
        return model.double()(x.double())


def check(theirs, path):
    ours = load_file(path)["logits"].double()
    error = ((ours - theirs).abs().max() / theirs.pow(2).mean().sqrt()).item()
    print(f"{path}: largest error {error:.1e} of the logits' rms")
    assert error < 2e-5, path


before = logits()
check(before, "logits.safetensors")
PY
cat >compare_back.py <<'PY'
check(logits(), "unlearned.safetensors")
assert not torch.equal(before, logits()), "nothing was unlearned"
PY
PYTHONPATH=$packages "$python" <(cat module.py out.py compare.py back.py compare_back.py) 2>err ||
    fail "the README's lines of Python: back"

# What differs is refused by tensor and shape.
refuses 2 "conv1.weight is 64 x 3 x 7 x 7, expected 64 x 3 x 3 x 3" convert models/imagenet x --from pytorch
refuses 2 "classifier.0.weight is 4096 x 512, expected 512 x 512" convert models/wide-vgg11_bn x --from pytorch
refuses 2 "under no known naming" convert models/foreign x --from pytorch
has err "torchvision: conv1, layer1.0.conv1"
absent x
