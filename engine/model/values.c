/* What concerns a model's values: initialisation, digest, check for NaN. */
#include "base/digest.h"
#include "base/rng.h"
#include "model/model.h"

#include <math.h>
#include <string.h>

static void fill(float *values, size_t count, float value)
{
    for (size_t i = 0; i < count; i++)
        values[i] = value;
}

static void init_layer_tensor(const ex_layer *layer, const ex_tensor *t, ex_rng r, float *params)
{
    float *values = params + t->offset;
    if (t->offset == layer->scale) {
        fill(values, t->size, 1.0f);
    } else if (t->offset == layer->shift) {
        fill(values, t->size, 0.0f);
    } else {
        const float bound = (float)(1.0 / sqrt((double)layer->row)); /* row = fan in */
        for (size_t i = 0; i < t->size; i++)
            values[i] = (2.0f * ex_rng_uniform(&r) - 1.0f) * bound;
    }
}

void ex_model_init(const ex_model *model, uint64_t seed, float *params, float *stats)
{
    for (int i = 0; i < model->tensor_count; i++) {
        const ex_tensor *t = &model->tensors[i];
        const ex_layer *layer = &model->layers[t->layer];
        if (t->kind == EX_TENSOR_STAT) {
            fill(stats + t->offset, t->size, t->offset == layer->var ? 1.0f : 0.0f);
            continue;
        }
        /* A stream per tensor: a layer's start does not depend on the layers before it. */
        const ex_rng_key key = {.seed = seed, .use = EX_RNG_INIT, .step = (uint32_t)i};
        init_layer_tensor(layer, t, ex_rng_at(key), params);
    }
}

uint64_t ex_model_digest(const ex_model *model, const float *params, const float *stats)
{
    const int shape[] = {model->classes, model->in_channels, model->in_height, model->in_width};
    uint64_t digest = ex_digest(EX_DIGEST_START, model->name, strlen(model->name) + 1);
    digest = ex_digest(digest, shape, sizeof shape);
    digest = ex_digest(digest, params, model->param_count * sizeof *params);
    return ex_digest(digest, stats, model->stat_count * sizeof *stats);
}

ex_status ex_model_check_finite(const ex_model *model, const float *params, const float *stats)
{
    for (int i = 0; i < model->tensor_count; i++) {
        const ex_tensor *t = &model->tensors[i];
        const float *values = (t->kind == EX_TENSOR_STAT ? stats : params) + t->offset;
        for (size_t j = 0; j < t->size; j++)
            if (!isfinite(values[j]))
                return EX_FAIL(
                    EX_ERR_INPUT,
                    "tensor %s holds %g at index %zu of %zu (channel %zu); finite values "
                    "are expected: take an earlier model or train with a lower lr",
                    t->name, (double)values[j], j, t->size, j / (t->size / (size_t)t->shape[0]));
    }
    return EX_OK;
}

double ex_model_flops(const ex_model *model)
{
    double flops = 0.0;
    for (int i = 0; i < model->layer_count; i++) {
        const ex_layer *layer = &model->layers[i];
        const ex_node *node = &model->nodes[layer->node];
        flops += 2.0 * (double)layer->row * layer->channels * node->out_H * node->out_W;
    }
    return flops;
}
