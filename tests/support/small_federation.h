/* A federation around a test model (net_reference.h), with random values and images, on the device
 * under test: what is ablated and evaluated here takes moments. */
#ifndef EX_SMALL_FEDERATION_H
#define EX_SMALL_FEDERATION_H

#include "ablate.h"

/* Its lanes are there, and watched (held_memory.h). Closed by ex_federation_close. */
ex_federation *ex_test_small_federation(int which, int images, int lanes, ex_conv_choice conv);
/* The effects of every channel on all images, by strategy batched. */
ex_status ex_test_small_ablate(ex_effects **out, ex_federation *f, ex_ablate_limits limits);
/* Fails where two tables count differently, but for images that are too close to call. */
void ex_test_small_same_counts(const ex_federation *f, const ex_effects *a, const ex_effects *b);

#endif
