/* The small network of federated learning's CIFAR-10 benchmarks: two 3x3 convolutions without
 * padding and without norms, a max pool, two linear layers, dropout before each. */
#include "model/families.h"

enum { MIN_SIZE = 6, HIDDEN = 128 };

ex_status ex_build_cnn(ex_builder *b, ex_model_shape shape)
{
    if (shape.height < MIN_SIZE || shape.width < MIN_SIZE)
        return EX_FAIL(EX_ERR_CONFIG, "%s takes images of at least %d x %d, not %d x %d",
                       b->model->name, MIN_SIZE, MIN_SIZE, shape.height, shape.width);
    const ex_conv_spec first = {.K = 32, .R = 3, .stride = 1, .bias = true, .relu = true};
    const ex_conv_spec second = {.K = 64, .R = 3, .stride = 1, .bias = true, .relu = true};
    int x = ex_builder_input(b, shape.channels, shape.height, shape.width);
    x = ex_builder_conv(b, x, "feature.conv_0", first);
    x = ex_builder_conv(b, x, "feature.conv_1", second);
    x = ex_builder_pool(b, x, EX_OP_MAXPOOL, 2);
    x = ex_builder_linear(b, x, "classifier.linear_0", HIDDEN, true);
    ex_builder_dropout(b, x, 0.25f);
    x = ex_builder_linear(b, x, "classifier.linear_1", shape.classes, false);
    ex_builder_dropout(b, x, 0.5f);
    return b->status;
}
