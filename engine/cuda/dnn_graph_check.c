/* What a graph must hold before an executor believes it. */
#include "cuda/dnn_graph.h"

#include <string.h>

static bool same_shape(const ex_graph_tensor *a, const ex_graph_tensor *b)
{
    return memcmp(a->dim, b->dim, sizeof a->dim) == 0;
}

static int window_count(int size, int window, const ex_graph_op *op)
{
    return (size + 2 * op->pad - window) / op->stride + 1;
}

/* Whether `op` maps x's height and width to y's. */
static bool window_fits(const ex_graph_op *op, const ex_graph_tensor *x, const ex_graph_tensor *y)
{
    return op->R > 0 && op->S > 0 && op->stride > 0 && op->pad >= 0 && x->dim[0] == y->dim[0] &&
           op->R <= x->dim[2] + 2 * op->pad && op->S <= x->dim[3] + 2 * op->pad &&
           window_count(x->dim[2], op->R, op) == y->dim[2] &&
           window_count(x->dim[3], op->S, op) == y->dim[3];
}

/* Filters of fewer channels than x has split both maps into groups. */
static bool conv_fits(const ex_graph_op *op, const ex_graph_tensor *x, const ex_graph_tensor *w,
                      const ex_graph_tensor *y)
{
    const bool split = w->dim[1] > 0 && x->dim[1] % w->dim[1] == 0;
    return window_fits(op, x, y) && w->dim[0] == y->dim[1] && split &&
           w->dim[0] % (x->dim[1] / w->dim[1]) == 0 && w->dim[2] == op->R && w->dim[3] == op->S;
}

static bool is_vector(const ex_graph_tensor *x, const ex_graph_tensor *b)
{
    return b->dim[0] == 1 && b->dim[1] == x->dim[1] && b->dim[2] == 1 && b->dim[3] == 1;
}

/* Whether count tensors are float32 vectors of x's channels with memory of their own. */
static bool are_vectors(const ex_dnn_graph *g, const ex_graph_tensor *x, const int *tensor,
                        int count)
{
    for (int i = 0; i < count; i++) {
        const ex_graph_tensor *t = &g->tensor[tensor[i]];
        if (!is_vector(x, t) || t->type != EX_GRAPH_F32 || t->is_virtual)
            return false;
    }
    return true;
}

/* Maps from x, the larger one, to y, channel by channel; each window holds a value of x. */
static bool pool_fits(const ex_graph_op *op, const ex_graph_tensor *x, const ex_graph_tensor *y)
{
    const bool mean = op->kind == EX_GRAPH_AVGPOOL_FWD || op->kind == EX_GRAPH_AVGPOOL_BWD;
    return window_fits(op, x, y) && x->dim[1] == y->dim[1] && op->pad < op->R && op->pad < op->S &&
           (!mean || op->pad == 0);
}

static bool index_fits(const ex_graph_tensor *index, const ex_graph_tensor *y)
{
    return same_shape(index, y) && index->type == EX_GRAPH_I8 && !index->is_virtual;
}

static bool op_fits(const ex_dnn_graph *g, const ex_graph_op *op)
{
    const ex_graph_tensor *t = g->tensor;
    const ex_graph_tensor *a = &t[op->in[0]], *y = &t[op->out[0]];
    const ex_graph_tensor *b = ex_graph_op_inputs(op->kind) > 1 ? &t[op->in[1]] : NULL;
    switch (op->kind) {
    case EX_GRAPH_CONV_FWD:
        return conv_fits(op, a, b, y);
    case EX_GRAPH_CONV_DGRAD:
        return conv_fits(op, y, b, a);
    case EX_GRAPH_CONV_WGRAD:
        return conv_fits(op, b, y, a);
    case EX_GRAPH_BIAS:
        return is_vector(a, b) && same_shape(a, y);
    case EX_GRAPH_ADD:
    case EX_GRAPH_RELU_BWD:
        return same_shape(a, b) && same_shape(a, y);
    case EX_GRAPH_RELU:
        return same_shape(a, y);
    case EX_GRAPH_NORM_FWD:
        return same_shape(a, y) && are_vectors(g, a, op->in + 1, 4) &&
               are_vectors(g, a, op->out + 1, 4) && op->eps > 0.0f;
    case EX_GRAPH_NORM_BWD:
        return same_shape(a, b) && same_shape(a, y) && are_vectors(g, a, op->in + 2, 3) &&
               are_vectors(g, a, op->out + 1, 2);
    case EX_GRAPH_MAXPOOL_FWD:
        return pool_fits(op, a, y) && index_fits(&t[op->out[1]], y);
    case EX_GRAPH_MAXPOOL_BWD:
        return pool_fits(op, y, a) && index_fits(b, a);
    case EX_GRAPH_AVGPOOL_FWD:
        return pool_fits(op, a, y);
    case EX_GRAPH_AVGPOOL_BWD:
        return pool_fits(op, y, a);
    }
    return false;
}

/* Whether the tensors exist, and virtual ones are written before they are read, once. */
static bool tensors_known(const ex_dnn_graph *g, const ex_graph_op *op, bool *written)
{
    for (int i = 0; i < ex_graph_op_inputs(op->kind); i++) {
        const int t = op->in[i];
        if (t < 0 || t >= g->tensor_count || (g->tensor[t].is_virtual && !written[t]))
            return false;
    }
    for (int i = 0; i < ex_graph_op_outputs(op->kind); i++) {
        const int t = op->out[i];
        if (t < 0 || t >= g->tensor_count || written[t])
            return false;
        written[t] = true;
    }
    return true;
}

ex_status ex_dnn_graph_check(const ex_dnn_graph *g)
{
    bool written[EX_GRAPH_TENSORS] = {false};
    char text[EX_GRAPH_TEXT];
    for (int i = 0; i < g->tensor_count; i++)
        for (int d = 0; d < 4; d++)
            if (g->tensor[i].dim[d] <= 0)
                return EX_FAIL(EX_ERR_INTERNAL, "tensor %d of a graph has a side of %d", i,
                               g->tensor[i].dim[d]);
    for (int i = 0; i < g->op_count; i++) {
        if (tensors_known(g, &g->op[i], written) && op_fits(g, &g->op[i]))
            continue;
        ex_dnn_graph_describe(g, text, sizeof text);
        return EX_FAIL(EX_ERR_INTERNAL, "operation %d of a graph does not fit its tensors: %s", i,
                       text);
    }
    return EX_OK;
}
