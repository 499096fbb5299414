/* Weight gradients of a masked plan: of the selected filters alone, by a kernel of our own where
 * they are few, since oneDNN pads filters to a vector of them. */
#include "base/memory.h"
#include "cpu/cpu_impl.h"

/* With more than one filter in so many of a layer's, oneDNN's kernel for all is as fast. */
enum { FEW = 4 };

ex_status ex_cpu_rows_list(ex_cpu_plan *plan)
{
    const ex_mask *mask = plan->base.spec.mask;
    const ex_model *m = plan->model;
    if (!mask)
        return EX_OK;
    EX_TRY(ex_alloc(&plan->rows, (size_t)m->channel_count, sizeof *plan->rows, "mask of a plan"));
    for (int i = 0; i < m->layer_count; i++) {
        int32_t *row = plan->rows + m->layers[i].first_channel;
        for (int c = 0; c < m->layers[i].channels; c++)
            if (ex_mask_layer(mask, i)[c])
                *row++ = c;
    }
    return EX_OK;
}

bool ex_cpu_rows_are_few(const ex_cpu_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_mask *mask = plan->base.spec.mask;
    const int block = plan->maps[n->input].block;
    if (!mask || FEW * ex_mask_layer_count(mask, n->layer) > n->K)
        return false;
    return block == 1 || block % 16 == 0; /* other layouts have no fast kernel */
}

static ex_status run_rows(ex_cpu_plan *plan, const ex_cpu_step *step)
{
    const int layer = plan->model->nodes[step->node].layer;
    const ex_layer *l = &plan->model->layers[layer];
    const ex_conv_shape shape = ex_cpu_conv_shape(plan, step->node, plan->base.spec.batch);
    const size_t sum = ex_cpu_folds(plan, step->node) ? l->shift : l->bias;
    ex_kernels_host.conv_rows_bwd(
        step->at[0] + l->weight, sum == EX_NONE ? NULL : step->at[0] + sum, step->at[1],
        step->at[2], plan->rows + l->first_channel,
        ex_mask_layer_count(plan->base.spec.mask, layer), &shape, step->at[3], ex_cpu_stream(plan));
    return EX_OK;
}

ex_status ex_cpu_rows_backward(ex_cpu_plan *plan, int node, ex_cpu_ref dy)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_conv_shape shape = ex_cpu_conv_shape(plan, node, plan->base.spec.batch);
    const size_t floats = ex_kernels_host.conv_rows_scratch(
        &shape, ex_mask_layer_count(plan->base.spec.mask, n->layer));
    ex_cpu_ref scratch;
    EX_TRY(ex_cpu_buffer_add(plan, floats * sizeof(float), &scratch));
    EX_TRY(ex_cpu_step_add(plan, "conv backward rows", node, run_rows, NULL));
    ex_cpu_step_ref(plan, plan->grads, 0);
    ex_cpu_step_ref(plan, plan->maps[n->input].ref, 0);
    ex_cpu_step_ref(plan, dy, 0);
    ex_cpu_step_ref(plan, scratch, 0);
    return EX_OK;
}
