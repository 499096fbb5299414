#include "model/mask.h"

#include "base/memory.h"
#include "io/file.h"

#include <string.h>

ex_status ex_mask_create(ex_mask **out, const ex_model *model)
{
    *out = NULL;
    ex_status status;
    ex_mask *mask;
    EX_TRY(ex_alloc(&mask, 1, sizeof *mask, "mask"));
    mask->model = model;
    /* No tensor yields more segments than it has channels. */
    size_t most[2] = {0, 0};
    for (int i = 0; i < model->tensor_count; i++)
        most[model->tensors[i].kind == EX_TENSOR_STAT] += (size_t)model->tensors[i].shape[0];
    EX_TRY_GOTO(ex_alloc(&mask->selected, (size_t)model->channel_count, 1, "mask"), fail);
    EX_TRY_GOTO(ex_alloc(&mask->params, most[0], sizeof *mask->params, "mask segments"), fail);
    EX_TRY_GOTO(ex_alloc(&mask->stats, most[1], sizeof *mask->stats, "mask segments"), fail);
    *out = mask;
    return EX_OK;
fail:
    ex_mask_destroy(&mask);
    return status;
}

ex_status ex_mask_create_full(ex_mask **out, const ex_model *model)
{
    EX_TRY(ex_mask_create(out, model));
    memset((*out)->selected, 1, (size_t)model->channel_count);
    return ex_mask_seal(*out);
}

void ex_mask_destroy(ex_mask **mask)
{
    if (*mask) {
        ex_free(&(*mask)->selected);
        ex_free(&(*mask)->params);
        ex_free(&(*mask)->stats);
    }
    ex_free(mask);
}

ex_status ex_mask_select(ex_mask *mask, int layer, int channel)
{
    const ex_model *m = mask->model;
    EX_CHECK_ARG(layer >= 0 && layer < m->layer_count, "layer %d; %s has 0 to %d", layer, m->name,
                 m->layer_count - 1);
    EX_CHECK_ARG(channel >= 0 && channel < m->layers[layer].channels,
                 "channel %d; layer %s has 0 to %d", channel, m->layers[layer].name,
                 m->layers[layer].channels - 1);
    mask->selected[m->layers[layer].first_channel + channel] = 1;
    return EX_OK;
}

/* Appends a segment that starts at or after the end of the last one; neighbours become one. */
static void append(ex_segment *segments, size_t *count, size_t offset, size_t length)
{
    ex_segment *last = *count ? &segments[*count - 1] : NULL;
    if (last && last->offset + last->length == offset)
        last->length += length;
    else
        segments[(*count)++] = (ex_segment){offset, length};
}

ex_status ex_mask_seal(ex_mask *mask)
{
    const ex_model *m = mask->model;
    mask->param_segments = mask->stat_segments = 0;
    mask->param_count = mask->stat_count = 0;
    mask->channel_count = 0;
    for (int i = 0; i < m->channel_count; i++)
        mask->channel_count += mask->selected[i];
    /* Tensors lie in the vectors in the order of the table, so the segments come out sorted. The
     * first axis of each is the channel. */
    for (int i = 0; i < m->tensor_count; i++) {
        const ex_tensor *t = &m->tensors[i];
        const uint8_t *selected = ex_mask_layer(mask, t->layer);
        const size_t row = t->size / (size_t)t->shape[0];
        const int stat = t->kind == EX_TENSOR_STAT;
        for (int channel = 0; channel < t->shape[0]; channel++) {
            if (!selected[channel])
                continue;
            append(stat ? mask->stats : mask->params,
                   stat ? &mask->stat_segments : &mask->param_segments,
                   t->offset + (size_t)channel * row, row);
            *(stat ? &mask->stat_count : &mask->param_count) += row;
        }
    }
    return EX_OK;
}

int ex_mask_layer_count(const ex_mask *mask, int layer)
{
    const uint8_t *selected = ex_mask_layer(mask, layer);
    int count = 0;
    for (int i = 0; i < mask->model->layers[layer].channels; i++)
        count += selected[i];
    return count;
}
