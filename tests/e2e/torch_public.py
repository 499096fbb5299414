"""Modules with the tensor names of public collections of CIFAR models, for test_convert.sh: each is
built here from what is published about it (names, shapes, order), not taken from there."""
from collections import OrderedDict

import torch
from torch import nn
import torch.nn.functional as F


class Basic(nn.Module):
    def __init__(self, inputs, outputs, stride, shortcut):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.pad, self.name = 0, shortcut
        if stride == 1 and inputs == outputs:
            self.name = None
        elif shortcut == "pad":
            self.pad = (outputs - inputs) // 2
        else:
            setattr(self, shortcut, nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)))

    def forward(self, x):
        side = x
        if self.name == "pad":
            side = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
        elif self.name:
            side = getattr(self, self.name)(x)
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + side)


class ResNet(nn.Module):
    """head: what the classifier is called; stem: size and stride of the first convolution."""

    def __init__(self, width, stages, blocks, shortcut, head, stem=(3, 1)):
        super().__init__()
        size, stride = stem
        self.conv1 = nn.Conv2d(3, width, size, stride, size // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        last = width
        self.stages, self.head = stages, head
        for s in range(stages):
            layers = []
            for i in range(blocks):
                layers.append(Basic(last, width << s, 2 if s and not i else 1, shortcut))
                last = width << s
            setattr(self, f"layer{s + 1}", nn.Sequential(*layers))
        setattr(self, head, nn.Linear(last, 10))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for s in range(self.stages):
            x = getattr(self, f"layer{s + 1}")(x)
        return getattr(self, self.head)(x.mean((2, 3)))


class Stages(nn.Module):
    """resnet18 whose parts are Sequentials; the first stage is conv2_x."""

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.residual_function = nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs),
                nn.ReLU(), nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
                nn.BatchNorm2d(outputs))
            self.shortcut = nn.Sequential()
            if stride != 1:
                self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                                              nn.BatchNorm2d(outputs))

        def forward(self, x):
            return F.relu(self.residual_function(x) + self.shortcut(x))

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64),
                                   nn.ReLU())
        last = 64
        for s in range(4):
            width = 64 << s
            setattr(self, f"conv{s + 2}_x", nn.Sequential(
                self.Block(last, width, 2 if s else 1), self.Block(width, width, 1)))
            last = width
        self.fc = nn.Linear(512, 10)

    def forward(self, x):
        x = self.conv1(x)
        for s in range(4):
            x = getattr(self, f"conv{s + 2}_x")(x)
        return self.fc(x.mean((2, 3)))


class Vgg(nn.Module):
    def __init__(self, head):
        super().__init__()
        layers, width = [], 3
        for item in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"):
            if item == "M":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(width, item, 3, padding=1), nn.BatchNorm2d(item), nn.ReLU()]
                width = item
        self.features = nn.Sequential(*layers)
        self.classifier = head

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def head3(hidden=512):
    return nn.Sequential(nn.Linear(512, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, hidden),
                         nn.ReLU(), nn.Dropout(), nn.Linear(hidden, 10))


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 32, 3), nn.Conv2d(32, 64, 3)
        self.fc1, self.fc2 = nn.Linear(12544, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


MODELS = {
    # name: (module, prefix of its names in the file, excise's architecture)
    "akamaster-resnet20": (lambda: ResNet(16, 3, 3, "pad", "linear"), "module.", "resnet20"),
    "chenyaofo-resnet20": (lambda: ResNet(16, 3, 3, "downsample", "fc"), "",
                           "resnet20-projection"),
    "kuangliu-resnet18": (lambda: ResNet(64, 4, 2, "shortcut", "linear"), "module.", "resnet18"),
    "weiaicunzai-resnet18": (Stages, "", "resnet18"),
    "chenyaofo-vgg11_bn": (lambda: Vgg(head3()), "", "vgg11-head3"),
    "cnn": (Cnn, "", "cnn"),
    "kuangliu-vgg11": (lambda: Vgg(nn.Linear(512, 10)), "", "vgg11-head1"),
    "wide-vgg11_bn": (lambda: Vgg(head3(4096)), "", None),
    "imagenet": (lambda: ResNet(64, 4, 2, "downsample", "fc", (7, 2)), "", None),
}


def make(name, seed=3):
    """The module with values that tell its tensors apart, statistics of its norms included."""
    torch.manual_seed(seed)
    build, prefix, _ = MODELS[name]
    model = build()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.uniform_(module.bias, -0.2, 0.2)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.6, 1.4)
            module.num_batches_tracked += 77
    return model.eval(), prefix


def state_of(model, prefix):
    return OrderedDict((prefix + name, value) for name, value in model.state_dict().items())
