#include "plan_shapes.h"

ex_conv_shape ex_plan_conv_shape(const ex_node *node, ex_map_shape in, int out_block)
{
    return (ex_conv_shape){.in = in,
                           .K = node->K,
                           .out_H = node->out_H,
                           .out_W = node->out_W,
                           .out_block = out_block,
                           .R = node->R,
                           .S = node->S,
                           .stride = node->stride,
                           .pad = node->pad};
}
