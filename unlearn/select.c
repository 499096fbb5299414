/* Which channels are fine-tuned: the most important, as many at random, or the class's own row. */
#include "select.h"

#include "base/memory.h"
#include "base/rng.h"

#include <math.h>

int ex_select_count(double delta, int channels)
{
    const double k = round(delta * channels);
    return k < 1.0 ? 1 : k > channels ? channels : (int)k;
}

static bool chosen(const ex_model *m, int layer, ex_layer_choice layers)
{
    const int node = m->layers[layer].node;
    switch (layers) {
    case EX_LAYERS_CONV:
        return m->nodes[node].op == EX_OP_CONV;
    case EX_LAYERS_HEAD:
        return node == m->node_count - 1;
    case EX_LAYERS_ALL:
        break;
    }
    return true;
}

static ex_status check_delta(double delta)
{
    EX_CHECK_ARG(delta > 0.0 && delta <= 1.0,
                 "unlearn.delta is %g; a fraction above 0 and up to 1 is expected", delta);
    return EX_OK;
}

/* Puts a layer's channels, counted in the layer, in the order in which they are taken. */
typedef ex_status (*order_channels)(int *order, const ex_model *m, int layer, const void *context);

/* The first of each chosen layer's channels in the order of `rank`, as many as delta says. */
static ex_status select_first(ex_mask **out, const ex_model *m, double delta,
                              ex_layer_choice layers, order_channels rank, const void *context)
{
    ex_status status;
    ex_mask *mask = NULL;
    int *order = NULL;
    EX_TRY_GOTO(ex_mask_create(&mask, m), done);
    EX_TRY_GOTO(ex_alloc(&order, (size_t)m->channel_count, sizeof *order, "channels"), done);
    for (int i = 0; i < m->layer_count; i++) {
        if (!chosen(m, i, layers))
            continue;
        EX_TRY_GOTO(rank(order, m, i, context), done);
        for (int j = 0; j < ex_select_count(delta, m->layers[i].channels); j++)
            EX_TRY_GOTO(ex_mask_select(mask, i, order[j]), done);
    }
    EX_TRY_GOTO(ex_mask_seal(mask), done);
    *out = mask;
    mask = NULL;
done:
    ex_mask_destroy(&mask);
    ex_free(&order);
    return status;
}

typedef struct importance {
    const ex_effects *effects;
    int class_index;
} importance;

static ex_status by_importance(int *order, const ex_model *m, int layer, const void *context)
{
    const importance *by = context;
    const ex_layer *l = &m->layers[layer];
    EX_TRY(ex_effects_rank(order, by->effects, by->class_index, l->first_channel, l->channels));
    for (int j = 0; j < l->channels; j++)
        order[j] -= l->first_channel;
    return EX_OK;
}

ex_status ex_select_important(ex_mask **out, const ex_effects *e, int label, double delta,
                              ex_layer_choice layers)
{
    *out = NULL;
    importance by = {.effects = e};
    EX_TRY(check_delta(delta));
    EX_TRY(ex_effects_find_class(&by.class_index, e, label));
    return select_first(out, e->model, delta, layers, by_importance, &by);
}

static ex_status by_chance(int *order, const ex_model *m, int layer, const void *context)
{
    const uint64_t *seed = context;
    const int channels = m->layers[layer].channels;
    ex_rng r =
        ex_rng_at((ex_rng_key){.seed = *seed, .use = EX_RNG_SELECT, .step = (uint32_t)layer});
    for (int c = 0; c < channels; c++)
        order[c] = c;
    /* An int may be accessed as its unsigned type, and none is negative. */
    ex_rng_shuffle(&r, (uint32_t *)order, (size_t)channels);
    return EX_OK;
}

ex_status ex_select_random(ex_mask **out, const ex_model *model, double delta,
                           ex_layer_choice layers, uint64_t seed)
{
    *out = NULL;
    EX_TRY(check_delta(delta));
    return select_first(out, model, delta, layers, by_chance, &seed);
}

ex_status ex_select_head(ex_mask **out, const ex_model *model, int label)
{
    *out = NULL;
    EX_CHECK_ARG(label >= 0 && label < model->classes, "class %d; %s has 0 to %d", label,
                 model->name, model->classes - 1);
    ex_status status;
    ex_mask *mask;
    EX_TRY(ex_mask_create(&mask, model));
    EX_TRY_GOTO(ex_mask_select(mask, model->nodes[model->node_count - 1].layer, label), done);
    EX_TRY_GOTO(ex_mask_seal(mask), done);
    *out = mask;
    mask = NULL;
done:
    ex_mask_destroy(&mask);
    return status;
}
