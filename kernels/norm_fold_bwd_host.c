/* From the gradients of folded filters to those of the filters and of the norm.
 *
 *   W'_k = W_k * r_k    b'_k = shift_k + (b_k - mean_k) * r_k    r_k = scale_k / sqrt(var_k + eps)
 *   dW_k = dW'_k * r_k    db_k = db'_k * r_k
 *   dscale_k = (<W_k, dW'_k> + (b_k - mean_k) * db'_k) / sqrt(var_k + eps)
 *
 * The scalar product and the mean's part nearly cancel where the layer's output varies little
 * around its mean: hence float64, in eight sums that are added in order. */
#include "host.h"
#include "norm.h"

enum { SUMS = 8 };

EX_INLINE double channel_product(float *restrict d, const float *restrict w, float ratio,
                                 size_t row)
{
    double sums[SUMS] = {0}, sum = 0.0;
    size_t i = 0;
    for (; i + SUMS <= row; i += SUMS)
        for (size_t j = 0; j < SUMS; j++) {
            sums[j] += (double)w[i + j] * (double)d[i + j];
            d[i + j] *= ratio;
        }
    for (; i < row; i++) {
        sum += (double)w[i] * (double)d[i];
        d[i] *= ratio;
    }
    for (size_t j = 0; j < SUMS; j++)
        sum += sums[j];
    return sum;
}

EX_CLONES static void fold_bwd_range(const ex_norm_fold_gradient *g, const int32_t *channel,
                                     size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        const size_t k = channel ? (size_t)channel[i] : i, at = k * g->row;
        const float ratio = ex_norm_ratio_body(g->scale[k], g->var[k], g->eps);
        const double shift = (double)g->dshift[k];
        const double centre = (g->bias ? (double)g->bias[k] : 0.0) - (double)g->mean[k];
        const double sum = channel_product(g->dweight + at, g->weight + at, ratio, g->row);
        g->dscale[k] = (float)((sum + centre * shift) / sqrt((double)(g->var[k] + g->eps)));
        if (g->dbias)
            g->dbias[k] = g->dshift[k] * ratio;
    }
}

void ex_norm_fold_bwd_host(const ex_norm_fold_gradient *g, const int32_t *channel, int channels,
                           ex_stream s)
{
    EX_SHARE((size_t)channels, (size_t)channels * g->row, s,
             fold_bwd_range(g, channel, begin, end));
}
