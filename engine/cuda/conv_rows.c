/* Masks on the device, and weight gradients of a masked plan: of the selected filters alone, by a
 * kernel of our own where they are few. */
#include "base/memory.h"
#include "cuda/cuda_impl.h"

#include <string.h>

/* With more than one filter in so many of a layer's, the gradient of all is as fast. */
enum { FEW = 4 };

bool ex_cuda_rows_are_few(const ex_cuda_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_mask *mask = plan->base.spec.mask;
    return mask && FEW * ex_mask_layer_count(mask, n->layer) <= n->K;
}

static ex_conv_shape shape_of(const ex_cuda_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    return (ex_conv_shape){.in = ex_cuda_shape(plan, n->input),
                           .K = n->K,
                           .out_H = n->out_H,
                           .out_W = n->out_W,
                           .out_block = n->K,
                           .R = n->R,
                           .S = n->S,
                           .stride = n->stride,
                           .pad = n->pad};
}

static ex_status run_rows(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    const int layer = plan->model->nodes[step->node].layer;
    const ex_layer *l = &plan->model->layers[layer];
    const ex_conv_shape shape = shape_of(plan, step->node);
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
    const ex_conv_shape shape = shape_of(plan, node);
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

/* --- the mask --------------------------------------------------------------------------------- */

/* Each layer's selected channels, from its first_channel on. */
static void list_rows(int32_t *rows, const ex_mask *mask)
{
    const ex_model *m = mask->model;
    for (int i = 0; i < m->layer_count; i++) {
        int32_t *row = rows + m->layers[i].first_channel;
        for (int c = 0; c < m->layers[i].channels; c++)
            if (ex_mask_layer(mask, i)[c])
                *row++ = c;
    }
}

/* One block: segments, rows, the images' scale and shift, selected. */
ex_status ex_cuda_lists_upload(ex_cuda_plan *plan)
{
    const ex_mask *mask = plan->base.spec.mask;
    const ex_segment all = {.offset = 0, .length = plan->model->param_count};
    const size_t count = mask ? mask->param_segments : 1;
    const size_t channels = mask ? (size_t)plan->model->channel_count : 0;
    const size_t segment_bytes = count * sizeof all, row_bytes = channels * sizeof(int32_t);
    const size_t bytes = segment_bytes + row_bytes + sizeof plan->host_affine + channels;
    char *host, *device;
    EX_TRY(ex_alloc(&host, bytes, 1, "mask of a plan"));
    memcpy(host, mask ? mask->params : &all, segment_bytes);
    if (mask) {
        list_rows((int32_t *)(void *)(host + segment_bytes), mask);
        memcpy(host + bytes - channels, mask->selected, channels);
    }
    ex_status status = ex_cuda_alloc(&plan->lists, plan->lane->device, bytes, "mask of a plan");
    if (status == EX_OK)
        status = ex_cuda_copy(plan->lane, plan->lists, host, bytes);
    ex_free(&host);
    device = plan->lists;
    plan->segments = plan->lists;
    plan->segment_count = count;
    plan->rows = (const int32_t *)(const void *)(device + segment_bytes);
    plan->affine = (float *)(void *)(device + segment_bytes + row_bytes);
    plan->selected = mask ? (const uint8_t *)(device + bytes - channels) : NULL;
    return status;
}
