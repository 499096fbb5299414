/* Reference of the loss operations, in float64. */
#include "reference.h"

#include <math.h>

void ex_softmax_xent_ref(float *dlogits, float *loss, int32_t *predicted, const float *logits,
                         const uint16_t *label, int N, int K, float grad_scale)
{
    for (int n = 0; n < N; n++) {
        const float *z = logits + (size_t)n * (size_t)K;
        int best = 0, nan = 0;
        for (int k = 0; k < K; k++) {
            if (z[k] > z[best])
                best = k;
            nan |= isnan(z[k]);
        }
        /* log softmax[label] = -log(sum of exp(z_k - z_label)); the label's own term is 1. */
        double others = 0.0, sum = 0.0;
        for (int k = 0; k < K; k++) {
            sum += exp((double)z[k] - (double)z[best]);
            others += k == label[n] ? 0.0 : exp((double)z[k] - (double)z[best]);
        }
        const double own = exp((double)z[label[n]] - (double)z[best]);
        if (loss)
            loss[n] = (float)(own > 0.5 ? log1p(others / own)
                                        : log(sum) + (double)z[best] - (double)z[label[n]]);
        if (predicted)
            predicted[n] = nan ? -1 : best;
        for (int k = 0; dlogits && k < K; k++) {
            const double p = exp((double)z[k] - (double)z[best]) / sum;
            dlogits[(size_t)n * (size_t)K + (size_t)k] =
                (float)((double)grad_scale * (p - (k == label[n] ? 1.0 : 0.0)));
        }
    }
}
