/* A mask = a set of (layer, channel). A selected channel stands for its filter row, its bias, the
 * scale and shift of the norm that follows, and that norm's running statistics. Sealing turns it
 * into sorted segments of both flat vectors: what is trained, sent and averaged. */
#ifndef EX_MASK_H
#define EX_MASK_H

#include "kernels.h"
#include "model/model.h"

typedef struct ex_mask {
    const ex_model *model; /* not owned */
    uint8_t *selected;     /* (model->channel_count) 0 or 1, by layer->first_channel + channel */
    ex_segment *params;    /* filled by ex_mask_seal */
    size_t param_segments;
    ex_segment *stats;
    size_t stat_segments;
    size_t param_count, stat_count; /* floats covered */
    int channel_count;              /* selected channels */
} ex_mask;

ex_status ex_mask_create(ex_mask **out, const ex_model *model); /* empty, sealed */
ex_status ex_mask_create_full(ex_mask **out, const ex_model *model);
void ex_mask_destroy(ex_mask **mask);
/* Adds a channel; the mask must be sealed again before its segments are used. */
ex_status ex_mask_select(ex_mask *mask, int layer, int channel);
ex_status ex_mask_seal(ex_mask *mask);
static inline const uint8_t *ex_mask_layer(const ex_mask *mask, int layer)
{
    return mask->selected + mask->model->layers[layer].first_channel;
}
/* Selected channels of one layer. */
int ex_mask_layer_count(const ex_mask *mask, int layer);

/* mask.json: {"model":..., "channels_total":n, "layers":{"name":[c,...],...}} */
ex_status ex_mask_write(const ex_mask *mask, const char *path);
ex_status ex_mask_read(ex_mask **out, const ex_model *model, const char *path);

#endif
