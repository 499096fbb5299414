/* Grows a model description node by node: shapes are derived, tensors named and laid out in order.
 *
 * Values of a layer lie in the order weight, bias, norm scale, norm shift; layers in the order they
 * were added, without gaps. The first error sticks: later calls do nothing, and ex_builder's status
 * tells it, so that a family reads as a list of layers. */
#ifndef EX_BUILDER_H
#define EX_BUILDER_H

#include "model/model.h"

typedef struct ex_builder {
    ex_model *model; /* being built; not owned */
    ex_status status;
    int node_room, layer_room, tensor_room;
} ex_builder;

/* Square convolution and what is fused to it. */
typedef struct ex_conv_spec {
    int K, R, stride, pad;
    bool bias, relu;
    int residual;     /* node added before the ReLU; 0 (the input node) means none */
    const char *norm; /* name of the batch norm that follows, or NULL */
} ex_conv_spec;

/* Each returns the index of the node that it added, 0 after an error. `input`: node it reads. */
int ex_builder_input(ex_builder *b, int channels, int height, int width);
int ex_builder_conv(ex_builder *b, int input, const char *name, ex_conv_spec spec);
int ex_builder_linear(ex_builder *b, int input, const char *name, int K, bool relu);
/* In training, each value that the linear node reads is dropped with probability `rate`. */
void ex_builder_dropout(ex_builder *b, int node, float rate);
/* EX_OP_MAXPOOL or EX_OP_AVGPOOL over windows size x size that do not overlap. */
int ex_builder_pool(ex_builder *b, int input, ex_op op, int size);
/* Average over the whole map. */
int ex_builder_global_pool(ex_builder *b, int input);
/* Option-A shortcut to K channels with stride 2. */
int ex_builder_shortcut(ex_builder *b, int input, int K);

#endif
