#include "reference.h"

#include <string.h>

void ex_feed_next_ref(uint32_t *index_out, uint16_t *label_out, const ex_feed_state *state,
                      const uint32_t *index, const uint16_t *label, int N)
{
    const size_t first = state->at;
    memcpy(index_out, index + first, (size_t)N * sizeof *index);
    memcpy(label_out, label + first, (size_t)N * sizeof *label);
}

void ex_feed_log_ref(float *loss_log, int32_t *predicted_log, ex_feed_state *state,
                     const float *loss, const int32_t *predicted, int N)
{
    const size_t first = state->at;
    if (N == 0)
        return;
    memcpy(loss_log + first, loss, (size_t)N * sizeof *loss);
    memcpy(predicted_log + first, predicted, (size_t)N * sizeof *predicted);
    state->at = (uint32_t)(first + (size_t)N);
    state->words[0] += 1;
}
