#include "draw.h"

#include "base/memory.h"

ex_status ex_draw(uint8_t *chosen, size_t all, size_t count, ex_rng_key key)
{
    uint32_t *order;
    EX_TRY(ex_alloc(&order, all, sizeof *order, "random choice"));
    for (size_t i = 0; i < all; i++)
        order[i] = (uint32_t)i;
    ex_rng r = ex_rng_at(key);
    ex_rng_shuffle(&r, order, all);
    for (size_t i = 0; i < count; i++)
        chosen[order[i]] = 1;
    ex_free(&order);
    return EX_OK;
}
