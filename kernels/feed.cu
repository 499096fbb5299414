/* Feeding steps that are queued again and again: which samples are next, and where their losses go,
 * stands in device memory. A batch has a few hundred samples: one block. */
#include "feed.h"
#include "launch.h"

static __global__ void __launch_bounds__(EX_BLOCK)
    feed_next_kernel(uint32_t *index_out, uint16_t *label_out, const ex_feed_state *state,
                     const uint32_t *index, const uint16_t *label, uint32_t N)
{
    const size_t first = state->at;
    for (uint32_t i = threadIdx.x; i < N; i += blockDim.x) {
        index_out[i] = index[first + i];
        label_out[i] = label[first + i];
    }
}

/* The state moves on when all threads have read it. */
static __global__ void __launch_bounds__(EX_BLOCK)
    feed_log_kernel(float *loss_log, int32_t *predicted_log, ex_feed_state *state,
                    const float *loss, const int32_t *predicted, uint32_t N)
{
    const size_t first = state->at;
    for (uint32_t i = threadIdx.x; i < N; i += blockDim.x) {
        loss_log[first + i] = loss[i];
        predicted_log[first + i] = predicted[i];
    }
    __syncthreads();
    if (threadIdx.x == 0)
        ex_feed_advance_body(state, N);
}

void ex_feed_next_cuda(uint32_t *index_out, uint16_t *label_out, const ex_feed_state *state,
                       const uint32_t *index, const uint16_t *label, int N, ex_stream s)
{
    if (N > 0)
        EX_LAUNCH(feed_next_kernel, 1, EX_BLOCK, 0, s, index_out, label_out, state, index, label,
                  (uint32_t)N);
}

void ex_feed_log_cuda(float *loss_log, int32_t *predicted_log, ex_feed_state *state,
                      const float *loss, const int32_t *predicted, int N, ex_stream s)
{
    if (N > 0)
        EX_LAUNCH_TOGETHER(feed_log_kernel, 1, EX_BLOCK, 0, s, loss_log, predicted_log, state, loss,
                           predicted, (uint32_t)N);
}
