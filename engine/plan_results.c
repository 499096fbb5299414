/* What gradients become for callers: values of the host, in plain order. */
#include "plan_nodes.h"

#include <string.h>

static float value_at(const void *map, ex_map_type type, size_t i)
{
    if (type == EX_MAP_F32)
        return ((const float *)map)[i];
    const uint32_t bits = (uint32_t)((const uint16_t *)map)[i] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void ex_plan_input_planes(const ex_plan_core *plan, float *out, const void *in)
{
    const ex_model *m = plan->model;
    const size_t block = (size_t)plan->input_gradient_block, C = (size_t)m->in_channels;
    const size_t pixels = (size_t)m->in_height * (size_t)m->in_width;
    const size_t padded = (C + block - 1) / block * block * pixels;
    for (size_t n = 0; n < (size_t)plan->base.spec.batch; n++)
        for (size_t c = 0; c < C; c++)
            for (size_t p = 0; p < pixels; p++)
                *out++ = value_at(in, plan->maps[0].type,
                                  n * padded + (c / block * pixels + p) * block + c % block);
}

void ex_plan_clear_unmasked(const ex_mask *mask, float *grads)
{
    size_t end = 0;
    for (size_t i = 0; i < mask->param_segments; i++) {
        memset(grads + end, 0, (mask->params[i].offset - end) * sizeof *grads);
        end = mask->params[i].offset + mask->params[i].length;
    }
    memset(grads + end, 0, (mask->model->param_count - end) * sizeof *grads);
}
