/* ResNets for small images (He et al. 2016): a 3x3 stem, stages of basic blocks that double the
 * channels and halve the map, a global average pool and a linear layer. resnet20 is that of section
 * 4.2; resnet18 has ImageNet's widths and blocks behind the small stem. */
#include "model/families.h"

#include <stdio.h>

enum { MIN_SIZE = 8 };

typedef struct family {
    int width;       /* channels of the stem and the first stage */
    int stages;      /* each but the first halves the map */
    int blocks;      /* of a stage */
    bool projection; /* shortcuts that change the shape: 1x1 convolution and norm (option B) instead
                        of subsampling and zero channels (option A) */
} family;

/* Shortcut of a block that goes from x to K channels on half the map. */
static int shortcut(ex_builder *b, int x, const char *name, int K, bool projection)
{
    if (!projection)
        return ex_builder_shortcut(b, x, K);
    char conv[EX_NAME_MAX], norm[EX_NAME_MAX];
    snprintf(conv, sizeof conv, "%s.shortcut.conv", name);
    snprintf(norm, sizeof norm, "%s.shortcut.bn", name);
    return ex_builder_conv(b, x, conv, (ex_conv_spec){.K = K, .R = 1, .stride = 2, .norm = norm});
}

/* ReLU(norm(conv(ReLU(norm(conv(x))))) + shortcut(x)) */
static int basic_block(ex_builder *b, int x, const char *name, int K, bool halve, bool projection)
{
    char conv[EX_NAME_MAX], norm[EX_NAME_MAX];
    const int residual = halve ? shortcut(b, x, name, K, projection) : x;

    snprintf(conv, sizeof conv, "%s.conv_bn1.conv", name);
    snprintf(norm, sizeof norm, "%s.conv_bn1.bn", name);
    const ex_conv_spec first = {
        .K = K, .R = 3, .stride = halve ? 2 : 1, .pad = 1, .relu = true, .norm = norm};
    x = ex_builder_conv(b, x, conv, first);

    snprintf(conv, sizeof conv, "%s.conv_bn2.conv", name);
    snprintf(norm, sizeof norm, "%s.conv_bn2.bn", name);
    const ex_conv_spec second = {
        .K = K, .R = 3, .stride = 1, .pad = 1, .relu = true, .residual = residual, .norm = norm};
    return ex_builder_conv(b, x, conv, second);
}

static ex_status build(ex_builder *b, ex_model_shape shape, family f)
{
    if (shape.height < MIN_SIZE || shape.width < MIN_SIZE)
        return EX_FAIL(EX_ERR_CONFIG, "%s takes images of at least %d x %d, not %d x %d",
                       b->model->name, MIN_SIZE, MIN_SIZE, shape.height, shape.width);
    int x = ex_builder_input(b, shape.channels, shape.height, shape.width);
    const ex_conv_spec stem = {
        .K = f.width, .R = 3, .stride = 1, .pad = 1, .relu = true, .norm = "conv_bn.bn"};
    x = ex_builder_conv(b, x, "conv_bn.conv", stem);
    for (int stage = 0; stage < f.stages; stage++) {
        for (int i = 0; i < f.blocks; i++) {
            char name[EX_NAME_MAX / 2];
            snprintf(name, sizeof name, "layer%d.block_%d", stage + 1, i);
            x = basic_block(b, x, name, f.width << stage, stage > 0 && i == 0, f.projection);
        }
    }
    x = ex_builder_global_pool(b, x);
    ex_builder_linear(b, x, "linear", shape.classes, false);
    return b->status;
}

ex_status ex_build_resnet20(ex_builder *b, ex_model_shape shape)
{
    return build(b, shape, (family){.width = 16, .stages = 3, .blocks = 3});
}

ex_status ex_build_resnet20_projection(ex_builder *b, ex_model_shape shape)
{
    return build(b, shape, (family){.width = 16, .stages = 3, .blocks = 3, .projection = true});
}

ex_status ex_build_resnet18(ex_builder *b, ex_model_shape shape)
{
    return build(b, shape, (family){.width = 64, .stages = 4, .blocks = 2, .projection = true});
}
