#include "io/naming.h"

#include <stdio.h>
#include <string.h>

static const ex_naming_rule resnet_blocks[] = {
    {"conv_bn.conv", "conv1"},
    {"conv_bn.bn", "bn1"},
    {"layer#.block_#.conv_bn#.conv", "layer#.#.conv#"},
    {"layer#.block_#.conv_bn#.bn", "layer#.#.bn#"},
    {NULL, NULL},
};

/* Indexes in a Sequential of convolution, norm, ReLU and pool. */
static const ex_naming_rule vgg11_features[] = {
    {"feature.conv_0", "features.0"},
    {"feature.bn_0", "features.1"},
    {"feature.conv_1", "features.4"},
    {"feature.bn_1", "features.5"},
    {"feature.conv_2", "features.8"},
    {"feature.bn_2", "features.9"},
    {"feature.conv_3", "features.11"},
    {"feature.bn_3", "features.12"},
    {"feature.conv_4", "features.15"},
    {"feature.bn_4", "features.16"},
    {"feature.conv_5", "features.18"},
    {"feature.bn_5", "features.19"},
    {"feature.conv_6", "features.22"},
    {"feature.bn_6", "features.23"},
    {"feature.conv_7", "features.25"},
    {"feature.bn_7", "features.26"},
    {NULL, NULL},
};

static const ex_naming_rule torchvision[] = {
    {"layer#.block_#.shortcut.conv", "layer#.#.downsample.0"},
    {"layer#.block_#.shortcut.bn", "layer#.#.downsample.1"},
    {"linear", "fc"},
    {"classifier.linear_0", "classifier.0"},
    {"classifier.linear_1", "classifier.3"},
    {"classifier.linear_2", "classifier.6"},
    {NULL, NULL},
};

static const ex_naming_rule kuangliu[] = {
    {"layer#.block_#.shortcut.conv", "layer#.#.shortcut.0"},
    {"layer#.block_#.shortcut.bn", "layer#.#.shortcut.1"},
    {"linear", "linear"},
    {"classifier.linear_0", "classifier"},
    {NULL, NULL},
};

/* The first stage is theirs conv2_x, as in the paper's table. */
#define STAGE(ours, theirs)                                                                        \
    {ours ".block_#.conv_bn1.conv", theirs ".#.residual_function.0"},                              \
        {ours ".block_#.conv_bn1.bn", theirs ".#.residual_function.1"},                            \
        {ours ".block_#.conv_bn2.conv", theirs ".#.residual_function.3"},                          \
        {ours ".block_#.conv_bn2.bn", theirs ".#.residual_function.4"},                            \
        {ours ".block_#.shortcut.conv", theirs ".#.shortcut.0"},                                   \
    {                                                                                              \
        ours ".block_#.shortcut.bn", theirs ".#.shortcut.1"                                        \
    }

static const ex_naming_rule weiaicunzai[] = {
    {"conv_bn.conv", "conv1.0"},
    {"conv_bn.bn", "conv1.1"},
    STAGE("layer1", "conv2_x"),
    STAGE("layer2", "conv3_x"),
    STAGE("layer3", "conv4_x"),
    STAGE("layer4", "conv5_x"),
    {"linear", "fc"},
    {NULL, NULL},
};

#undef STAGE

static const ex_naming_rule sequential[] = {
    {"classifier.linear_0", "classifier.0"},
    {"classifier.linear_1", "classifier.2"},
    {"classifier.linear_2", "classifier.4"},
    {NULL, NULL},
};

static const ex_naming_rule plain[] = {
    {"feature.conv_0", "conv1"},
    {"feature.conv_1", "conv2"},
    {"classifier.linear_0", "fc1"},
    {"classifier.linear_1", "fc2"},
    {NULL, NULL},
};

static const ex_naming table[] = {
    {"excise", "conv_bn.conv, layer1.block_0.conv_bn1.conv, linear; feature.conv_0", {NULL}},
    {"torchvision",
     "conv1, layer1.0.conv1, layer2.0.downsample.0, fc; features.0, classifier.0, .3, .6 "
     "(torchvision, chenyaofo/pytorch-cifar-models)",
     {resnet_blocks, vgg11_features, torchvision}},
    {"kuangliu",
     "conv1, layer1.0.conv1, layer2.0.shortcut.0, linear; features.0, classifier "
     "(kuangliu/pytorch-cifar, akamaster/pytorch_resnet_cifar10)",
     {resnet_blocks, vgg11_features, kuangliu}},
    {"weiaicunzai",
     "conv1.0, conv2_x.0.residual_function.0, conv3_x.0.shortcut.0, fc "
     "(weiaicunzai/pytorch-cifar100)",
     {weiaicunzai}},
    {"sequential",
     "features.0, classifier.0, .2, .4 (a head without dropout)",
     {vgg11_features, sequential}},
    {"plain", "conv1, conv2, fc1, fc2 (PyTorch's MNIST example)", {plain}},
    {0},
};

const ex_naming *ex_namings(void)
{
    return table;
}

const ex_naming *ex_naming_find(const char *name)
{
    for (const ex_naming *n = table; n->name; n++)
        if (strcmp(n->name, name) == 0)
            return n;
    return NULL;
}

/* out (room) = the rule's other side for our name of `length` characters; false if the rule does
 * not fit or the name is too long. */
static bool apply(char *out, size_t room, const ex_naming_rule *rule, const char *ours,
                  size_t length)
{
    enum { NUMBERS = 4 };
    const char *number[NUMBERS], *at = ours, *end = ours + length;
    int digits[NUMBERS], count = 0;
    for (const char *p = rule->ours; *p; p++) {
        if (*p != '#') {
            if (at == end || *at++ != *p)
                return false;
            continue;
        }
        number[count] = at;
        while (at < end && *at >= '0' && *at <= '9')
            at++;
        digits[count] = (int)(at - number[count]);
        if (digits[count++] == 0)
            return false;
    }
    if (at != end)
        return false;
    size_t used = 0;
    count = 0;
    for (const char *p = rule->theirs; *p && used < room; p++) {
        const int n = *p == '#'
                          ? snprintf(out + used, room - used, "%.*s", digits[count], number[count])
                          : snprintf(out + used, room - used, "%c", *p);
        count += *p == '#';
        used += (size_t)n;
    }
    return used < room;
}

static bool translate(char *out, size_t room, const ex_naming *naming, const char *ours,
                      size_t length)
{
    for (int list = 0; list < EX_NAMING_LISTS && naming->rules[list]; list++)
        for (const ex_naming_rule *rule = naming->rules[list]; rule->ours; rule++)
            if (apply(out, room, rule, ours, length))
                return true;
    return false;
}

bool ex_file_name(char *out, const ex_file_names *names, const char *ours)
{
    const char *prefix = names ? names->prefix : "", *dot = strrchr(ours, '.');
    char stem[EX_FILE_NAME_MAX];
    const size_t length = dot ? (size_t)(dot - ours) : strlen(ours);
    if (!names || !names->naming || !names->naming->rules[0])
        snprintf(stem, sizeof stem, "%.*s", (int)length, ours);
    else if (!translate(stem, sizeof stem, names->naming, ours, length))
        return false;
    const int n = snprintf(out, EX_FILE_NAME_MAX, "%s%s%s", prefix, stem, dot ? dot : "");
    return n >= 0 && n < EX_FILE_NAME_MAX;
}
