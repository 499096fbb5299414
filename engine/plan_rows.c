/* Weight gradients of a masked plan: of the selected filters alone, by a kernel of our own where
 * they are few, since libraries compute them all, or pad them to a vector. */
#include "plan_nodes.h"

/* With more than one filter in so many of a layer's, the library's kernel for all is as fast: on
 * the CPU, where it was measured. No GPU has been asked, nor whether it is faster there to gather
 * the selected channels of dy and let the library compute their filters alone. Milliseconds for all
 * convolutions of a step on one thread (AVX-512 BF16, oneDNN 2.6.3; medians of seven, by turns),
 * these over the library's, before these multiplied and added in one and the others were
 * Winograd's:
 *
 *   filters            1/16         1/8          1/5          1/4          1/3          1/2
 *   resnet20, 128  29.1 / 68.0  40.3 / 63.8  53.2 / 64.7  63.6 / 65.1      -            -
 *     10, bf16      2.3 / 11.4   3.1 / 11.4   5.1 / 11.3   5.0 / 11.1   7.2 / 11.3   9.3 / 11.3
 *   vgg11, 10       4.9 / 34.7   9.5 / 36.8  18.2 / 37.7  20.4 / 36.0  31.7 / 34.8  44.8 / 34.4
 *
 * Layer by layer, but for those that read images: at most 0.81 of the library's for 1/5, 1.11 for
 * 1/4, 1.26 for 1/3. */
enum { FEW = 4 };

void ex_plan_rows_list(int32_t *rows, const ex_model *m, const ex_mask *mask)
{
    for (int i = 0; i < m->layer_count; i++) {
        int32_t *row = rows + m->layers[i].first_channel;
        for (int c = 0; c < m->layers[i].channels; c++)
            if (!mask || ex_mask_layer(mask, i)[c])
                *row++ = c;
    }
}

bool ex_plan_rows_are_few(const ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_mask *mask = plan->base.spec.mask;
    return mask && FEW * ex_mask_layer_count(mask, n->layer) <= n->K;
}

const int32_t *ex_plan_trained_channels(const ex_plan_core *plan, int node, int *count)
{
    const int layer = plan->model->nodes[node].layer;
    const ex_layer *l = &plan->model->layers[layer];
    const ex_mask *mask = plan->base.spec.mask;
    *count = mask ? ex_mask_layer_count(mask, layer) : l->channels;
    return mask ? plan->rows + l->first_channel : NULL;
}

static int rows_of(const ex_plan_core *plan, int node)
{
    int count;
    ex_plan_trained_channels(plan, node, &count);
    return count;
}

static ex_status run_rows(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_layer *l = ex_plan_layer_of(plan, step->node);
    const ex_conv_shape shape = ex_plan_conv_of(plan, step->node, plan->base.spec.batch);
    float *grads = step->at[0];
    plan->k->conv_rows_bwd(grads + l->weight, step->n == EX_NONE ? NULL : grads + step->n,
                           step->at[1], step->at[2], plan->rows + l->first_channel,
                           rows_of(plan, step->node), &shape, step->at[3], ex_plan_stream(plan));
    return EX_OK;
}

int ex_plan_rows_computed(const ex_plan_core *plan, const ex_plan_step *step)
{
    return step->call == run_rows ? rows_of(plan, step->node) : 0;
}

ex_status ex_plan_rows_scratch(ex_plan_core *plan, int node, ex_buffer_ref *out)
{
    const ex_conv_shape shape = ex_plan_conv_of(plan, node, plan->base.spec.batch);
    const size_t floats = plan->k->conv_rows_scratch(&shape, rows_of(plan, node));
    return ex_plan_buffer_add(plan, floats * sizeof(float), out);
}

ex_status ex_plan_rows_backward(ex_plan_core *plan, int node, ex_buffer_ref dy,
                                ex_buffer_ref planes, size_t bias)
{
    const bool all = rows_of(plan, node) == plan->model->nodes[node].K;
    const bool made = planes.buffer != EX_BUFFER_NOTHING;
    ex_plan_step *step;
    if (!made)
        EX_TRY(ex_plan_rows_scratch(plan, node, &planes));
    EX_TRY(ex_plan_step_add(plan, all ? "conv backward weights" : "conv backward rows", node,
                            run_rows, &step));
    step->n = bias;
    ex_plan_step_ref(plan, plan->grads);
    ex_plan_step_ref(plan, plan->maps[plan->model->nodes[node].input].ref);
    ex_plan_step_ref(plan, made ? EX_NO_REF : dy);
    ex_plan_step_ref(plan, planes);
    return EX_OK;
}
