/* Which channels are fine-tuned: the most important, as many at random, or the class's own row. */
#include "select.h"

#include "base/memory.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

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

/* What a channel is ranked by. Counts are integers, so that ties are ties. */
typedef struct rank {
    int correct;
    double loss_delta; /* never NaN */
    int channel;
} rank;

static int by_effect(const void *left, const void *right)
{
    const rank *a = left, *b = right;
    if (a->correct != b->correct) /* fewer left correct: a higher effect */
        return a->correct < b->correct ? -1 : 1;
    if (a->loss_delta != b->loss_delta)
        return a->loss_delta > b->loss_delta ? -1 : 1;
    return a->channel < b->channel ? -1 : 1;
}

static void sort_layer(rank *ranks, const ex_effects *e, int class_index, const ex_layer *layer)
{
    const size_t first =
        (size_t)class_index * (size_t)e->model->channel_count + (size_t)layer->first_channel;
    for (int c = 0; c < layer->channels; c++) {
        const double delta = e->loss_delta[first + (size_t)c];
        /* A loss that is no number any more is the largest change there is. */
        ranks[c] = (rank){e->correct[first + (size_t)c], isnan(delta) ? INFINITY : delta, c};
    }
    qsort(ranks, (size_t)layer->channels, sizeof *ranks, by_effect);
}

static ex_status check_delta(double delta)
{
    EX_CHECK_ARG(delta > 0.0 && delta <= 1.0,
                 "unlearn.delta is %g; a fraction above 0 and up to 1 is expected", delta);
    return EX_OK;
}

ex_status ex_select_important(ex_mask **out, const ex_effects *e, int label, double delta,
                              ex_layer_choice layers)
{
    *out = NULL;
    const ex_model *m = e->model;
    const int class_index = ex_effects_class_index(e, label);
    EX_TRY(check_delta(delta));
    if (class_index < 0)
        return EX_FAIL(
            EX_ERR_INPUT,
            "the table of effects does not cover class %d; run `excise ablate --class %d` "
            "or with --class all",
            label, label);
    ex_status status;
    ex_mask *mask = NULL;
    rank *ranks = NULL;
    EX_TRY_GOTO(ex_mask_create(&mask, m), done);
    EX_TRY_GOTO(ex_alloc(&ranks, (size_t)m->channel_count, sizeof *ranks, "ranks"), done);
    for (int i = 0; i < m->layer_count; i++) {
        if (!chosen(m, i, layers))
            continue;
        sort_layer(ranks, e, class_index, &m->layers[i]);
        const int k = ex_select_count(delta, m->layers[i].channels);
        for (int j = 0; j < k; j++)
            EX_TRY_GOTO(ex_mask_select(mask, i, ranks[j].channel), done);
    }
    EX_TRY_GOTO(ex_mask_seal(mask), done);
    *out = mask;
    mask = NULL;
done:
    ex_mask_destroy(&mask);
    ex_free(&ranks);
    return status;
}

ex_status ex_select_random(ex_mask **out, const ex_model *model, double delta,
                           ex_layer_choice layers, uint64_t seed)
{
    *out = NULL;
    EX_TRY(check_delta(delta));
    ex_status status;
    ex_mask *mask = NULL;
    uint32_t *order = NULL;
    EX_TRY_GOTO(ex_mask_create(&mask, model), done);
    EX_TRY_GOTO(ex_alloc(&order, (size_t)model->channel_count, sizeof *order, "channels"), done);
    for (int i = 0; i < model->layer_count; i++) {
        if (!chosen(model, i, layers))
            continue;
        const int channels = model->layers[i].channels;
        ex_rng r = ex_rng_at((ex_rng_key){.seed = seed, .use = EX_RNG_SELECT, .step = (uint32_t)i});
        for (int c = 0; c < channels; c++)
            order[c] = (uint32_t)c;
        ex_rng_shuffle(&r, order, (size_t)channels);
        for (int j = 0; j < ex_select_count(delta, channels); j++)
            EX_TRY_GOTO(ex_mask_select(mask, i, (int)order[j]), done);
    }
    EX_TRY_GOTO(ex_mask_seal(mask), done);
    *out = mask;
    mask = NULL;
done:
    ex_mask_destroy(&mask);
    ex_free(&order);
    return status;
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
