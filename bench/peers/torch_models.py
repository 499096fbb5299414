"""The models of excise as PyTorch modules whose state_dict has excise's tensor names and shapes.

Serves the golden files (tests/golden/make_golden.py) and the benchmark's peer (torch_peer.py).
"""
from collections import OrderedDict

import torch
from torch import nn
import torch.nn.functional as F


class ConvBn(nn.Module):
    """3x3 convolution without bias, then batch norm; the ReLU is its user's."""

    def __init__(self, channels_in, channels_out, stride):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels_out)

    def forward(self, x):
        return self.bn(self.conv(x))


class Block(nn.Module):
    """Basic block with option-A shortcut: every second row and column, zero channels on both sides."""

    def __init__(self, channels_in, channels_out):
        super().__init__()
        self.halve = channels_in != channels_out
        self.extra = (channels_out - channels_in) // 2
        self.conv_bn1 = ConvBn(channels_in, channels_out, 2 if self.halve else 1)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv_bn2 = ConvBn(channels_out, channels_out, 1)
        self.relu2 = nn.ReLU(inplace=True)

    def forward(self, x):
        shortcut = x
        if self.halve:
            shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.extra, self.extra))
        return self.relu2(self.conv_bn2(self.relu1(self.conv_bn1(x))) + shortcut)


class ResNet20(nn.Module):
    def __init__(self, channels=3, classes=10):
        super().__init__()
        self.conv_bn = ConvBn(channels, 16, 1)
        self.relu = nn.ReLU(inplace=True)
        width = 16
        for stage in range(3):
            blocks = OrderedDict()
            for i in range(3):
                blocks[f"block_{i}"] = Block(width, 16 << stage)
                width = 16 << stage
            setattr(self, f"layer{stage + 1}", nn.Sequential(blocks))
        self.linear = nn.Linear(64, classes)

    def forward(self, x):
        x = self.relu(self.conv_bn(x))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


class Vgg11(nn.Module):
    """VGG-11 with batch norm for 32x32 images; smaller ones come padded."""

    def __init__(self, channels=3, classes=10):
        super().__init__()
        feature, width, conv = OrderedDict(), channels, 0
        for item in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512):
            if item == "M":
                feature[f"pool_{conv}"] = nn.MaxPool2d(2)
                continue
            feature[f"conv_{conv}"] = nn.Conv2d(width, item, 3, padding=1, bias=False)
            feature[f"bn_{conv}"] = nn.BatchNorm2d(item)
            feature[f"relu_{conv}"] = nn.ReLU(inplace=True)
            width, conv = item, conv + 1
        feature["average"] = nn.AvgPool2d(2)
        self.feature = nn.Sequential(feature)
        self.classifier = nn.Sequential(OrderedDict(
            linear_0=nn.Linear(512, 512), relu=nn.ReLU(inplace=True),
            linear_1=nn.Linear(512, classes)))

    def forward(self, x):
        return self.classifier(self.feature(x).flatten(1))


MODELS = {"resnet20": ResNet20, "vgg11": Vgg11}
SIZES = {"resnet20": None, "vgg11": 32}  # map that inputs are padded to
PARAMETERS = {"resnet20": 269722, "vgg11": 9491018}  # for 3 x 32 x 32 images and 10 classes


def make(name, channels=3, classes=10):
    model = MODELS[name](channels, classes)
    if channels == 3 and classes == 10:
        count = sum(p.numel() for p in model.parameters())
        assert count == PARAMETERS[name], f"{name} has {count} parameters"
    return model


def conv_and_linear(model):
    """(name, module) of every layer whose channels can be ablated, in the order of the model."""
    return [(n, m) for n, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
