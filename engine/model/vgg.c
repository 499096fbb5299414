/* VGG (Simonyan and Zisserman 2015) in the form used for 32x32 images: batch norm after each
 * convolution, and two linear layers instead of three. */
#include "model/families.h"

#include <stdio.h>

enum { SIZE = 32, HIDDEN = 512, MAXPOOL = 0 };

static const int vgg11_layers[] = {64,      MAXPOOL, 128, MAXPOOL, 256, 256,
                                   MAXPOOL, 512,     512, MAXPOOL, 512, 512};

ex_status ex_build_vgg11(ex_builder *b, ex_model_shape shape)
{
    if (shape.height > SIZE || shape.width > SIZE)
        return EX_FAIL(EX_ERR_CONFIG,
                       "vgg11 takes images of at most %d x %d, not %d x %d; use resnet20", SIZE,
                       SIZE, shape.height, shape.width);
    int x = ex_builder_input(b, shape.channels, SIZE, SIZE);
    int conv_count = 0;
    for (size_t i = 0; i < sizeof vgg11_layers / sizeof *vgg11_layers; i++) {
        if (vgg11_layers[i] == MAXPOOL) {
            x = ex_builder_pool(b, x, EX_OP_MAXPOOL, 2);
            continue;
        }
        char conv[EX_NAME_MAX], norm[EX_NAME_MAX];
        snprintf(conv, sizeof conv, "feature.conv_%d", conv_count);
        snprintf(norm, sizeof norm, "feature.bn_%d", conv_count++);
        const ex_conv_spec spec = {
            .K = vgg11_layers[i], .R = 3, .stride = 1, .pad = 1, .relu = true, .norm = norm};
        x = ex_builder_conv(b, x, conv, spec);
    }
    x = ex_builder_pool(b, x, EX_OP_AVGPOOL, 2);
    x = ex_builder_linear(b, x, "classifier.linear_0", HIDDEN, true);
    ex_builder_linear(b, x, "classifier.linear_1", shape.classes, false);
    return b->status;
}
