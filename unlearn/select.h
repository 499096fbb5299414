/* Which channels are fine-tuned. */
#ifndef EX_SELECT_H
#define EX_SELECT_H

#include "effects.h"

/* k = max(1, round(delta * channels)). */
int ex_select_count(double delta, int channels);
/* In every layer of `layers`, the k channels of highest effect for the class. */
ex_status ex_select_important(ex_mask **out, const ex_effects *e, int label, double delta,
                              ex_layer_choice layers);
/* The same number of channels per layer, drawn by seed. */
ex_status ex_select_random(ex_mask **out, const ex_model *model, double delta,
                           ex_layer_choice layers, uint64_t seed);
/* The classifier's row of the class itself: the control. */
ex_status ex_select_head(ex_mask **out, const ex_model *model, int label);

/* Perturbed samples: those of `label` in `in` under a wrong label drawn uniformly from the other
 * classes, the rest as they are; order kept. `draw`: epoch or round that they are drawn for (0 for
 * relabel: once). */
ex_status ex_perturb(ex_samples *out, const ex_samples *in, int label, int classes, uint64_t seed,
                     int client, int draw);

#endif
