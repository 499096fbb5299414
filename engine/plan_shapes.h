/* Shapes that kernels take, of a model's nodes: the same on every back end but for the layouts. */
#ifndef EX_PLAN_SHAPES_H
#define EX_PLAN_SHAPES_H

#include "kernels.h"
#include "model/model.h"

/* Of a CONV node whose input is `in`, as N, C, H, W, block and type of a batch, and whose output
 * has `out_block`. */
ex_conv_shape ex_plan_conv_shape(const ex_node *node, ex_map_shape in, int out_block);

#endif
