/* Elements of feed_next and feed_log, shared by host and CUDA. */
#ifndef EX_KERNELS_FEED_H
#define EX_KERNELS_FEED_H

#include "device.h"
#include "kernels.h"

/* Behind a step of N samples: the next one draws from the next step's stream. */
EX_BODY void ex_feed_advance_body(ex_feed_state *state, uint32_t N)
{
    state->at += N;
    state->words[0]++;
}

#endif
