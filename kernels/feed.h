/* Elements of feed_next and feed_log, shared by host and CUDA. */
#ifndef EX_KERNELS_FEED_H
#define EX_KERNELS_FEED_H

#include "device.h"
#include "kernels.h"

/* Where sample i of the present step lies in the feed's lists. */
EX_BODY size_t ex_feed_at_body(uint32_t step, uint32_t i, uint32_t N)
{
    return (size_t)step * N + i;
}

/* The next step: it draws from the next step's stream. */
EX_BODY void ex_feed_advance_body(ex_feed_state *state)
{
    state->step++;
    state->words[0]++;
}

#endif
