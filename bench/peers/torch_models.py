"""The models of excise as PyTorch modules whose state_dict has excise's tensor names and shapes.

Serves the golden files (tests/golden/make_golden.py) and the benchmark's peer (torch_peer.py).
"""
from collections import OrderedDict
from functools import partial

import torch
from torch import nn
import torch.nn.functional as F


class ConvBn(nn.Module):
    """Convolution without bias, then batch norm; the ReLU is its user's."""

    def __init__(self, channels_in, channels_out, stride, size=3):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, size, stride, size // 2, bias=False)
        self.bn = nn.BatchNorm2d(channels_out)

    def forward(self, x):
        return self.bn(self.conv(x))


class Block(nn.Module):
    """Basic block. A shortcut that changes the shape is a 1x1 convolution with norm (projection), or
    option A: every second row and column, zero channels on both sides."""

    def __init__(self, channels_in, channels_out, projection):
        super().__init__()
        self.halve = channels_in != channels_out
        self.extra = (channels_out - channels_in) // 2
        if self.halve and projection:
            self.shortcut = ConvBn(channels_in, channels_out, 2, size=1)
        self.conv_bn1 = ConvBn(channels_in, channels_out, 2 if self.halve else 1)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv_bn2 = ConvBn(channels_out, channels_out, 1)
        self.relu2 = nn.ReLU(inplace=True)

    def forward(self, x):
        shortcut = x
        if hasattr(self, "shortcut"):
            shortcut = self.shortcut(x)
        elif self.halve:
            shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.extra, self.extra))
        return self.relu2(self.conv_bn2(self.relu1(self.conv_bn1(x))) + shortcut)


class ResNet(nn.Module):
    def __init__(self, channels, classes, width, stages, blocks, projection):
        super().__init__()
        self.conv_bn = ConvBn(channels, width, 1)
        self.relu = nn.ReLU(inplace=True)
        self.stages = stages
        last = width
        for stage in range(stages):
            layers = OrderedDict()
            for i in range(blocks):
                layers[f"block_{i}"] = Block(last, width << stage, projection)
                last = width << stage
            setattr(self, f"layer{stage + 1}", nn.Sequential(layers))
        self.linear = nn.Linear(last, classes)

    def forward(self, x):
        x = self.relu(self.conv_bn(x))
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.linear(x.mean(dim=(2, 3)))


class Dropout(nn.Dropout):
    """Dropout whose draws a golden test may set: mask(shape) gives 1 where a value is kept."""

    mask = None

    def forward(self, x):
        if self.mask is None or not self.training:
            return super().forward(x)
        return x * self.mask(x.shape).to(x.dtype) / (1 - self.p)


class Vgg11(nn.Module):
    """VGG-11 with batch norm for 32x32 images; smaller ones come padded."""

    def __init__(self, channels, classes, bias, last_pool, linear_layers, dropout=0):
        super().__init__()
        feature, width, conv = OrderedDict(), channels, 0
        for item in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512):
            if item == "M":
                feature[f"pool_{conv}"] = nn.MaxPool2d(2)
                continue
            feature[f"conv_{conv}"] = nn.Conv2d(width, item, 3, padding=1, bias=bias)
            feature[f"bn_{conv}"] = nn.BatchNorm2d(item)
            feature[f"relu_{conv}"] = nn.ReLU(inplace=True)
            width, conv = item, conv + 1
        feature["last"] = last_pool(2)
        self.feature = nn.Sequential(feature)
        classifier = OrderedDict()
        for i in range(linear_layers):
            last = i == linear_layers - 1
            if dropout and i > 0:
                classifier[f"dropout_{i}"] = Dropout(dropout)
            classifier[f"linear_{i}"] = nn.Linear(512, classes if last else 512)
            if not last:
                classifier[f"relu_{i}"] = nn.ReLU(inplace=True)
        self.classifier = nn.Sequential(classifier)

    def forward(self, x):
        return self.classifier(self.feature(x).flatten(1))


class Cnn(nn.Module):
    """Two convolutions without padding, two linear layers, dropout before each."""

    def __init__(self, channels, classes, size=32):
        super().__init__()
        self.feature = nn.Sequential(OrderedDict(
            conv_0=nn.Conv2d(channels, 32, 3), relu_0=nn.ReLU(),
            conv_1=nn.Conv2d(32, 64, 3), relu_1=nn.ReLU(), pool=nn.MaxPool2d(2)))
        self.classifier = nn.Sequential(OrderedDict(
            dropout_0=Dropout(.25), linear_0=nn.Linear(64 * ((size - 4) // 2)**2, 128),
            relu_0=nn.ReLU(), dropout_1=Dropout(.5), linear_1=nn.Linear(128, classes)))

    def forward(self, x):
        return self.classifier(self.feature(x).flatten(1))


# name: (module, map that inputs are padded to, parameters for 3 x 32 x 32 images and 10 classes)
MODELS = {
    "resnet20": (partial(ResNet, width=16, stages=3, blocks=3, projection=False), None, 269722),
    "resnet20-projection":
        (partial(ResNet, width=16, stages=3, blocks=3, projection=True), None, 272474),
    "resnet18": (partial(ResNet, width=64, stages=4, blocks=2, projection=True), None, 11173962),
    "vgg11": (partial(Vgg11, bias=False, last_pool=nn.AvgPool2d, linear_layers=2), 32, 9491018),
    "vgg11-head1":
        (partial(Vgg11, bias=True, last_pool=nn.MaxPool2d, linear_layers=1), 32, 9231114),
    "vgg11-head3": (partial(Vgg11, bias=True, last_pool=nn.MaxPool2d, linear_layers=3,
                            dropout=.5), 32, 9756426),
    "cnn": (Cnn, None, 1626442),
}
SIZES = {name: row[1] for name, row in MODELS.items()}


def make(name, channels=3, classes=10):
    module, _, expected = MODELS[name]
    model = module(channels, classes)
    if channels == 3 and classes == 10:
        count = sum(p.numel() for p in model.parameters())
        assert count == expected, f"{name} has {count} parameters"
    return model


def conv_and_linear(model):
    """(name, module) of every layer whose channels can be ablated, in the order of the model."""
    return [(n, m) for n, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
