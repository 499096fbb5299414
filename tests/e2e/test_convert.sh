#!/usr/bin/env bash
# Models under the names of public PyTorch collections come in by `convert` with the logits that they
# have in PyTorch, are evaluated and unlearned, and go back under their own names. Without PyTorch (77)
# what needs none of it.
source "$(dirname "$0")/cli_common.sh"

succeeds train -c tiny.yaml -s rounds=1 -s num_clients=1 -s model=resnet20-projection -o run
# There and back under each naming that has the model's names: bit for bit the same tensors.
for naming in torchvision kuangliu excise; do
    succeeds convert run "$naming.safetensors" --to pytorch --naming "$naming"
    succeeds convert "$naming.safetensors" "back-$naming.safetensors" --from pytorch --json
    json out "d['model'] == 'resnet20-projection' and d['naming'] == '$naming' and d['prefix'] == ''"
    succeeds eval "back-$naming.safetensors" -c tiny.yaml -s model=resnet20-projection --logits "$naming.logits"
done
same torchvision.logits excise.logits
same kuangliu.logits excise.logits
succeeds eval run --logits run.logits
refuses 2 "run.logits exists" eval run --logits run.logits
succeeds eval run --logits run.logits --overwrite
same run.logits excise.logits

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

# The README's way: convert, eval, unlearn, and back into the module that it came from.
name=akamaster-resnet20
succeeds convert "models/$name" model.safetensors --from pytorch
succeeds unlearn model.safetensors -c torch.yaml -s model=resnet20 --method head --class 1 -o head
succeeds eval head --logits "models/$name.unlearned.logits"
succeeds convert head "models/$name.unlearned" --to pytorch --like "models/$name"
"$python" "$convert" check data models || fail "PyTorch sees something else"

# What differs is refused by tensor and shape.
refuses 2 "conv1.weight is 64 x 3 x 7 x 7, not 64 x 3 x 3 x 3" convert models/imagenet x --from pytorch
refuses 2 "under no known naming" convert models/foreign x --from pytorch
has err "torchvision: conv1, layer1.0.conv1"
absent x
