#include "model/builder.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

/* Room for one more element in one of the model's lists. */
static ex_status grow(void *list, int count, int *room, size_t size)
{
    return ex_grow(list, count, room, 16, size, "model description");
}

static int add_node(ex_builder *b, ex_node node)
{
    ex_model *m = b->model;
    if (b->status == EX_OK)
        b->status = grow(&m->nodes, m->node_count, &b->node_room, sizeof *m->nodes);
    if (b->status != EX_OK)
        return 0;
    m->nodes[m->node_count] = node;
    return m->node_count++;
}

/* A node that reads the whole output of `input`. */
static ex_node node_after(const ex_builder *b, int input, ex_op op)
{
    if (b->status != EX_OK)
        return (ex_node){.op = op};
    const ex_node *in = &b->model->nodes[input];
    return (ex_node){.op = op,
                     .input = input,
                     .residual = -1,
                     .layer = -1,
                     .C = in->K,
                     .H = in->out_H,
                     .W = in->out_W,
                     .K = in->K,
                     .out_H = 1,
                     .out_W = 1,
                     .R = 1,
                     .S = 1,
                     .stride = 1};
}

/* Adds a row to the tensor table; returns the tensor's offset in its vector. */
static size_t add_tensor(ex_builder *b, ex_tensor_kind kind, const char *prefix, const char *suffix,
                         int ndim, const int *shape)
{
    ex_model *m = b->model;
    if (b->status == EX_OK)
        b->status = grow(&m->tensors, m->tensor_count, &b->tensor_room, sizeof *m->tensors);
    if (b->status != EX_OK)
        return EX_NONE;
    size_t *end = kind == EX_TENSOR_STAT ? &m->stat_count : &m->param_count;
    ex_tensor *t = &m->tensors[m->tensor_count++];
    *t =
        (ex_tensor){.kind = kind, .layer = m->layer_count, .ndim = ndim, .offset = *end, .size = 1};
    snprintf(t->name, sizeof t->name, "%s.%s", prefix, suffix);
    for (int i = 0; i < ndim; i++) {
        t->shape[i] = shape[i];
        t->size *= (size_t)shape[i];
    }
    *end += t->size;
    return t->offset;
}

static size_t add_vector(ex_builder *b, ex_tensor_kind kind, const char *prefix, const char *suffix,
                         int K)
{
    return add_tensor(b, kind, prefix, suffix, 1, &K);
}

/* Adds the layer of the node that comes next, with its tensors; returns its index. */
static int add_layer(ex_builder *b, ex_op op, const char *name, const ex_conv_spec *spec, int C)
{
    ex_model *m = b->model;
    const int K = spec->K, R = spec->R;
    if (b->status == EX_OK)
        b->status = grow(&m->layers, m->layer_count, &b->layer_room, sizeof *m->layers);
    ex_layer layer = {.node = m->node_count,
                      .channels = K,
                      .row = (size_t)R * (size_t)R * (size_t)C,
                      .bias = EX_NONE,
                      .scale = EX_NONE,
                      .shift = EX_NONE,
                      .mean = EX_NONE,
                      .var = EX_NONE,
                      .first_channel = m->channel_count};
    snprintf(layer.name, sizeof layer.name, "%s", name);
    const bool linear = op == EX_OP_LINEAR;
    layer.weight = add_tensor(b, linear ? EX_TENSOR_VALUE : EX_TENSOR_CONV_WEIGHT, name, "weight",
                              linear ? 2 : 4, (const int[]){K, C, R, R});
    if (spec->bias)
        layer.bias = add_vector(b, EX_TENSOR_VALUE, name, "bias", K);
    if (spec->norm) {
        snprintf(layer.norm_name, sizeof layer.norm_name, "%s", spec->norm);
        layer.scale = add_vector(b, EX_TENSOR_VALUE, spec->norm, "weight", K);
        layer.shift = add_vector(b, EX_TENSOR_VALUE, spec->norm, "bias", K);
        layer.mean = add_vector(b, EX_TENSOR_STAT, spec->norm, "running_mean", K);
        layer.var = add_vector(b, EX_TENSOR_STAT, spec->norm, "running_var", K);
    }
    if (b->status != EX_OK)
        return -1;
    m->channel_count += K;
    m->layers[m->layer_count] = layer;
    return m->layer_count++;
}

int ex_builder_input(ex_builder *b, int channels, int height, int width)
{
    b->model->in_channels = channels;
    b->model->in_height = height;
    b->model->in_width = width;
    return add_node(b, (ex_node){.op = EX_OP_INPUT,
                                 .input = -1,
                                 .residual = -1,
                                 .layer = -1,
                                 .C = channels,
                                 .H = height,
                                 .W = width,
                                 .K = channels,
                                 .out_H = height,
                                 .out_W = width,
                                 .R = 1,
                                 .S = 1,
                                 .stride = 1});
}

int ex_builder_conv(ex_builder *b, int input, const char *name, ex_conv_spec spec)
{
    ex_node node = node_after(b, input, EX_OP_CONV);
    node.K = spec.K;
    node.R = node.S = spec.R;
    node.stride = spec.stride;
    node.pad = spec.pad;
    node.relu = spec.relu;
    node.out_H = (node.H + 2 * spec.pad - spec.R) / spec.stride + 1;
    node.out_W = (node.W + 2 * spec.pad - spec.R) / spec.stride + 1;
    if (spec.residual && b->status == EX_OK) {
        node.residual = spec.residual;
        const ex_node *r = &b->model->nodes[spec.residual];
        if (r->K != node.K || r->out_H != node.out_H || r->out_W != node.out_W)
            b->status =
                EX_FAIL(EX_ERR_INTERNAL, "%s: %d x %d x %d cannot take a residual of %d x %d x %d",
                        name, node.K, node.out_H, node.out_W, r->K, r->out_H, r->out_W);
    }
    node.layer = add_layer(b, EX_OP_CONV, name, &spec, node.C);
    return add_node(b, node);
}

int ex_builder_linear(ex_builder *b, int input, const char *name, int K, bool relu)
{
    ex_node node = node_after(b, input, EX_OP_LINEAR);
    node.K = K;
    node.relu = relu;
    const ex_conv_spec spec = {.K = K, .R = 1, .bias = true};
    node.layer = add_layer(b, EX_OP_LINEAR, name, &spec, node.C * node.H * node.W);
    return add_node(b, node);
}

void ex_builder_dropout(ex_builder *b, int node, float rate)
{
    if (b->status == EX_OK)
        b->model->nodes[node].dropout = rate;
}

static int add_pool(ex_builder *b, int input, ex_op op, int R, int S, int stride)
{
    ex_node node = node_after(b, input, op);
    node.R = R;
    node.S = S;
    node.stride = stride;
    node.out_H = (node.H - R) / stride + 1;
    node.out_W = (node.W - S) / stride + 1;
    return add_node(b, node);
}

int ex_builder_pool(ex_builder *b, int input, ex_op op, int size)
{
    return add_pool(b, input, op, size, size, size);
}

int ex_builder_global_pool(ex_builder *b, int input)
{
    if (b->status != EX_OK)
        return 0;
    const ex_node *in = &b->model->nodes[input];
    return add_pool(b, input, EX_OP_AVGPOOL, in->out_H, in->out_W, 1);
}

int ex_builder_shortcut(ex_builder *b, int input, int K)
{
    ex_node node = node_after(b, input, EX_OP_SHORTCUT_A);
    node.K = K;
    node.stride = 2;
    node.out_H = (node.H + 1) / 2;
    node.out_W = (node.W + 1) / 2;
    return add_node(b, node);
}
