/* Some of many, drawn at random. */
#ifndef EX_DRAW_H
#define EX_DRAW_H

#include "base/rng.h"
#include "base/status.h"

/* chosen (all), zeroed: becomes 1 for `count` of them, the first of an order shuffled by `key`. */
ex_status ex_draw(uint8_t *chosen, size_t all, size_t count, ex_rng_key key);

#endif
