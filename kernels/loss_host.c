/* Softmax, cross-entropy and prediction of rows of logits.
 *
 *   m = max_k z_k                     rest = sum over k != argmax of exp(z_k - m)
 *   p_k = exp(z_k - m) / (1 + rest)   loss = log(1 + rest) + m - z_label
 *   dz_k = grad_scale * (p_k - [k = label])
 *
 * The maximum's own term is the 1: kept apart, log1p gives a loss that stays exact down to 1e-38
 * where a sum of 1 + rest would round to a loss of 0. Sums run over k in order. logits (N, K). */
#include "host.h"

#include <math.h>
#include <stdbool.h>

static int argmax(const float *z, int K)
{
    int best = 0;
    for (int k = 1; k < K; k++)
        if (z[k] > z[best])
            best = k;
    return best;
}

/* rest, as above; e (K) = exp(z - m) unless NULL. A NaN anywhere gives NaN. */
static float exponentials(float *e, const float *z, int best, int K)
{
    const float m = z[best];
    float rest = isnan(m) ? m : 0.0f;
    for (int k = 0; k < K; k++) {
        const float value = k == best ? 1.0f : expf(z[k] - m);
        if (k != best)
            rest += value;
        if (e)
            e[k] = value;
    }
    return rest;
}

static void softmax_xent_row(float *dz, float *loss, int32_t *predicted, const float *z, int label,
                             int K, float grad_scale)
{
    const int best = argmax(z, K);
    const float gap = z[best] - z[label];
    const float rest = exponentials(dz, z, best, K);
    if (loss)
        *loss = log1pf(rest) + gap;
    if (predicted)
        *predicted = isnan(rest) ? -1 : best;
    if (!dz)
        return;
    for (int k = 0; k < K; k++)
        dz[k] = grad_scale * (dz[k] / (1.0f + rest) - (k == label ? 1.0f : 0.0f));
}

static void softmax_xent_range(float *dlogits, float *loss, int32_t *predicted, const float *logits,
                               const uint16_t *label, int K, float grad_scale, size_t begin,
                               size_t end)
{
    for (size_t n = begin; n < end; n++) {
        const size_t row = n * (size_t)K;
        softmax_xent_row(dlogits ? dlogits + row : NULL, loss ? loss + n : NULL,
                         predicted ? predicted + n : NULL, logits + row, label[n], K, grad_scale);
    }
}

void ex_softmax_xent_host(float *dlogits, float *loss, int32_t *predicted, const float *logits,
                          const uint16_t *label, int N, int K, float grad_scale, ex_stream s)
{
    /* An exponential costs about as much as ten plain elements. */
    const size_t elements = (size_t)N * (size_t)K * 10;
    if (K > 0)
        EX_SHARE(
            (size_t)N, elements, s,
            softmax_xent_range(dlogits, loss, predicted, logits, label, K, grad_scale, begin, end));
}
