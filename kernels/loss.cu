/* Softmax, cross-entropy and prediction of rows of logits, one warp a row.
 *
 *   m = max_k z_k     rest = sum over k != argmax of exp(z_k - m)     p_k = exp(z_k - m) / (1 +
 * rest) loss = log(1 + rest) + m - z_label        dz_k = grad_scale * (p_k - [k = label])
 *
 * The maximum's own term is the 1, as on the host: log1p keeps a confident hit's loss exact. Lane l
 * takes k = l, l + 32, ...; sums of lanes meet in a butterfly, one fixed order. With few classes a
 * lane reads its logit from memory once and from the cache after. logits (N, K). */
#include "launch.h"

#include <limits.h>
#include <math.h>

constexpr int ROWS = 4; /* rows, hence warps, of a block */

typedef struct top {
    float value;
    int at;
} top;

/* The largest logit and its lowest index; a NaN is never chosen, INT_MAX if all are. */
static inline __device__ top row_top(const float *z, int K, int lane)
{
    top best = {-INFINITY, INT_MAX};
    for (int k = lane; k < K; k += EX_WARP)
        if (z[k] > best.value || (z[k] == best.value && k < best.at))
            best.value = z[k], best.at = k;
    for (int lanes = EX_WARP / 2; lanes > 0; lanes /= 2) {
        const float value = __shfl_xor_sync(EX_FULL_WARP, best.value, lanes);
        const int at = __shfl_xor_sync(EX_FULL_WARP, best.at, lanes);
        if (value > best.value || (value == best.value && at < best.at))
            best.value = value, best.at = at;
    }
    return best;
}

static inline __device__ float term(const float *z, int k, top best)
{
    return k == best.at ? 1.0f : expf(z[k] - best.value);
}

/* rest, as above, in every lane; NaN if any logit is. */
static inline __device__ float row_rest(const float *z, top best, int K, int lane)
{
    float rest = 0.0f;
    for (int k = lane; k < K; k += EX_WARP)
        if (k != best.at)
            rest += term(z, k, best);
    for (int lanes = EX_WARP / 2; lanes > 0; lanes /= 2)
        rest += __shfl_xor_sync(EX_FULL_WARP, rest, lanes);
    return rest;
}

/* Reads 4 bytes a logit and 2 a row; writes 4 a logit (dlogits), 4 a row (loss), 4 a row
 * (predicted), each if given. dlogits may be logits: a row's reads end before its writes begin. */
static __global__ void __launch_bounds__(ROWS *EX_WARP)
    softmax_xent_kernel(float *dlogits, float *loss, int32_t *predicted, const float *logits,
                        const uint16_t *label, int N, int K, float grad_scale)
{
    const int lane = (int)(threadIdx.x % EX_WARP), warp = (int)(threadIdx.x / EX_WARP);
    for (int n = (int)blockIdx.x * ROWS + warp; n < N; n += (int)gridDim.x * ROWS) {
        const float *z = logits + (size_t)n * (size_t)K;
        const int own = label[n];
        const top best = row_top(z, K, lane);
        const float gap = best.value - z[own];
        const float rest = row_rest(z, best, K, lane);
        if (lane == 0 && loss)
            loss[n] = log1pf(rest) + gap;
        if (lane == 0 && predicted)
            predicted[n] = isnan(rest) ? -1 : best.at;
        __syncwarp();
        for (int k = lane; dlogits && k < K; k += EX_WARP) {
            const float p = term(z, k, best) / (1.0f + rest);
            dlogits[(size_t)n * (size_t)K + (size_t)k] =
                grad_scale * (p - (k == own ? 1.0f : 0.0f));
        }
    }
}

void ex_softmax_xent_cuda(float *dlogits, float *loss, int32_t *predicted, const float *logits,
                          const uint16_t *label, int N, int K, float grad_scale, ex_stream s)
{
    if (N <= 0 || K <= 0)
        return;
    const size_t wanted = ex_divide_up((size_t)N, ROWS), most = 2 * ex_launch_blocks_most();
    EX_LAUNCH_TOGETHER(softmax_xent_kernel, (unsigned)(wanted < most ? wanted : most),
                       ROWS * EX_WARP, 0, s, dlogits, loss, predicted, logits, label, N, K,
                       grad_scale);
}
