/* ResNets for small images (He et al. 2016, section 4.2): a 3x3 stem, three stages of basic blocks
 * at 16, 32 and 64 channels, a global average pool and a linear layer. */
#include "model/families.h"

#include <stdio.h>

enum { MIN_SIZE = 8, STAGES = 3, STEM_CHANNELS = 16 };

/* ReLU(norm(conv(ReLU(norm(conv(x))))) + x); the first block of a later stage halves the map. */
static int basic_block(ex_builder *b, int x, const char *name, int K, bool halve)
{
    char conv[EX_NAME_MAX], norm[EX_NAME_MAX];
    const int shortcut = halve ? ex_builder_shortcut(b, x, K) : x;

    snprintf(conv, sizeof conv, "%s.conv_bn1.conv", name);
    snprintf(norm, sizeof norm, "%s.conv_bn1.bn", name);
    const ex_conv_spec first = {
        .K = K, .R = 3, .stride = halve ? 2 : 1, .pad = 1, .relu = true, .norm = norm};
    x = ex_builder_conv(b, x, conv, first);

    snprintf(conv, sizeof conv, "%s.conv_bn2.conv", name);
    snprintf(norm, sizeof norm, "%s.conv_bn2.bn", name);
    const ex_conv_spec second = {
        .K = K, .R = 3, .stride = 1, .pad = 1, .relu = true, .residual = shortcut, .norm = norm};
    return ex_builder_conv(b, x, conv, second);
}

static ex_status build(ex_builder *b, ex_model_shape shape, int blocks)
{
    if (shape.height < MIN_SIZE || shape.width < MIN_SIZE)
        return EX_FAIL(EX_ERR_CONFIG, "%s takes images of at least %d x %d, not %d x %d",
                       b->model->name, MIN_SIZE, MIN_SIZE, shape.height, shape.width);
    int x = ex_builder_input(b, shape.channels, shape.height, shape.width);
    x = ex_builder_conv(
        b, x, "conv_bn.conv",
        (ex_conv_spec){
            .K = STEM_CHANNELS, .R = 3, .stride = 1, .pad = 1, .relu = true, .norm = "conv_bn.bn"});
    for (int stage = 0; stage < STAGES; stage++) {
        for (int i = 0; i < blocks; i++) {
            char name[EX_NAME_MAX / 2];
            snprintf(name, sizeof name, "layer%d.block_%d", stage + 1, i);
            x = basic_block(b, x, name, STEM_CHANNELS << stage, stage > 0 && i == 0);
        }
    }
    x = ex_builder_global_pool(b, x);
    ex_builder_linear(b, x, "linear", shape.classes, false);
    return b->status;
}

ex_status ex_build_resnet20(ex_builder *b, ex_model_shape shape)
{
    return build(b, shape, 3);
}
