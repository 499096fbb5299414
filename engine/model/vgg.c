/* VGG-11 (Simonyan and Zisserman 2015) in the forms used for 32x32 images: batch norm after each
 * convolution. They differ in three points: whether the convolutions have a bias (which the norm
 * takes away again), the last pool, and how many linear layers there are. */
#include "model/families.h"

#include <stdio.h>

enum { SIZE = 32, HIDDEN = 512, MAXPOOL = 0 };

static const int vgg11_layers[] = {64,      MAXPOOL, 128, MAXPOOL, 256, 256,
                                   MAXPOOL, 512,     512, MAXPOOL, 512, 512};

typedef struct family {
    bool bias;
    ex_op last_pool;
    int linear_layers;
    float dropout; /* before each linear layer but the first */
} family;

static ex_status build(ex_builder *b, ex_model_shape shape, family f)
{
    if (shape.height > SIZE || shape.width > SIZE)
        return EX_FAIL(EX_ERR_CONFIG,
                       "%s takes images of at most %d x %d, not %d x %d; use resnet20",
                       b->model->name, SIZE, SIZE, shape.height, shape.width);
    char name[EX_NAME_MAX], norm[EX_NAME_MAX];
    int x = ex_builder_input(b, shape.channels, SIZE, SIZE);
    int conv_count = 0;
    for (size_t i = 0; i < sizeof vgg11_layers / sizeof *vgg11_layers; i++) {
        if (vgg11_layers[i] == MAXPOOL) {
            x = ex_builder_pool(b, x, EX_OP_MAXPOOL, 2);
            continue;
        }
        snprintf(name, sizeof name, "feature.conv_%d", conv_count);
        snprintf(norm, sizeof norm, "feature.bn_%d", conv_count++);
        const ex_conv_spec spec = {.K = vgg11_layers[i],
                                   .R = 3,
                                   .stride = 1,
                                   .pad = 1,
                                   .bias = f.bias,
                                   .relu = true,
                                   .norm = norm};
        x = ex_builder_conv(b, x, name, spec);
    }
    x = ex_builder_pool(b, x, f.last_pool, 2);
    for (int i = 0; i < f.linear_layers; i++) {
        const bool last = i == f.linear_layers - 1;
        snprintf(name, sizeof name, "classifier.linear_%d", i);
        x = ex_builder_linear(b, x, name, last ? shape.classes : HIDDEN, !last);
        if (i > 0)
            ex_builder_dropout(b, x, f.dropout);
    }
    return b->status;
}

ex_status ex_build_vgg11(ex_builder *b, ex_model_shape shape)
{
    return build(b, shape, (family){.last_pool = EX_OP_AVGPOOL, .linear_layers = 2});
}

ex_status ex_build_vgg11_head1(ex_builder *b, ex_model_shape shape)
{
    return build(b, shape, (family){.bias = true, .last_pool = EX_OP_MAXPOOL, .linear_layers = 1});
}

ex_status ex_build_vgg11_head3(ex_builder *b, ex_model_shape shape)
{
    const family f = {
        .bias = true, .last_pool = EX_OP_MAXPOOL, .linear_layers = 3, .dropout = 0.5f};
    return build(b, shape, f);
}
