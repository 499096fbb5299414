/* Feeding steps from a list, see kernels.h: a few hundred samples, by one thread. */
#include "feed.h"
#include "host.h"

void ex_feed_next_host(uint32_t *index_out, uint16_t *label_out, const ex_feed_state *state,
                       const uint32_t *index, const uint16_t *label, int N, ex_stream s)
{
    (void)s;
    for (uint32_t i = 0; i < (uint32_t)N; i++) {
        const size_t at = ex_feed_at_body(state->step, i, (uint32_t)N);
        index_out[i] = index[at];
        label_out[i] = label[at];
    }
}

void ex_feed_log_host(float *loss_log, int32_t *predicted_log, ex_feed_state *state,
                      const float *loss, const int32_t *predicted, int N, ex_stream s)
{
    (void)s;
    if (N <= 0)
        return;
    for (uint32_t i = 0; i < (uint32_t)N; i++) {
        const size_t at = ex_feed_at_body(state->step, i, (uint32_t)N);
        loss_log[at] = loss[i];
        predicted_log[at] = predicted[i];
    }
    ex_feed_advance_body(state);
}
