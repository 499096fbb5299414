/* Weight gradients of a masked plan: of the selected filters alone, by a kernel of our own where
 * they are few. */
#include "cuda/cuda_impl.h"

/* With more than one filter in so many of a layer's, the gradient of all is taken: as on the CPU,
 * where that was measured; not yet on a GPU. */
enum { FEW = 4 };

bool ex_cuda_rows_are_few(const ex_cuda_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_mask *mask = plan->base.spec.mask;
    return mask && FEW * ex_mask_layer_count(mask, n->layer) <= n->K;
}

static ex_status run_rows(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    const int layer = plan->model->nodes[step->node].layer;
    const ex_layer *l = &plan->model->layers[layer];
    const ex_conv_shape shape = ex_cuda_conv_shape(plan, step->node, plan->base.spec.batch);
    float *grads = step->at[0];
    ex_kernels_cuda.conv_rows_bwd(grads + l->weight, l->bias == EX_NONE ? NULL : grads + l->bias,
                                  step->at[1], step->at[2], plan->rows + l->first_channel,
                                  ex_mask_layer_count(plan->base.spec.mask, layer), &shape,
                                  step->at[3], ex_cuda_stream(plan));
    return EX_OK;
}

ex_status ex_cuda_rows_backward(ex_cuda_plan *plan, int node, ex_cuda_ref dy)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_conv_shape shape = ex_cuda_conv_shape(plan, node, plan->base.spec.batch);
    const size_t floats = ex_kernels_cuda.conv_rows_scratch(
        &shape, ex_mask_layer_count(plan->base.spec.mask, n->layer));
    ex_cuda_ref scratch;
    EX_TRY(ex_cuda_buffer_add(plan, floats * sizeof(float), &scratch));
    EX_TRY(ex_cuda_step_add(plan, "conv backward rows", node, run_rows, NULL));
    ex_cuda_step_ref(plan, plan->grads);
    ex_cuda_step_ref(plan, plan->maps[n->input].ref);
    ex_cuda_step_ref(plan, dy);
    ex_cuda_step_ref(plan, scratch);
    return EX_OK;
}
