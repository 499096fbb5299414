/* Feeding steps from a list, see kernels.h: a few hundred samples, by one thread. */
#include "feed.h"
#include "host.h"

void ex_feed_next_host(uint32_t *index_out, uint16_t *label_out, const ex_feed_state *state,
                       const uint32_t *index, const uint16_t *label, int N, ex_stream s)
{
    (void)s;
    for (size_t i = 0; i < (size_t)N; i++) {
        index_out[i] = index[state->at + i];
        label_out[i] = label[state->at + i];
    }
}

void ex_feed_log_host(float *loss_log, int32_t *predicted_log, ex_feed_state *state,
                      const float *loss, const int32_t *predicted, int N, ex_stream s)
{
    (void)s;
    if (N <= 0)
        return;
    for (size_t i = 0; i < (size_t)N; i++) {
        loss_log[state->at + i] = loss[i];
        predicted_log[state->at + i] = predicted[i];
    }
    ex_feed_advance_body(state, (uint32_t)N);
}
