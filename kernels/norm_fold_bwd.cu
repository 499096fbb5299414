/* From the gradients of folded filters to those of the filters and of the norm.
 *
 *   dW_k = dW'_k * r_k    db_k = db'_k * r_k    r_k = scale_k / sqrt(var_k + eps)
 *   dscale_k = (<W_k, dW'_k> + (b_k - mean_k) * db'_k) / sqrt(var_k + eps)
 *
 * A block a channel; its threads' products are summed in a tree of float64. */
#include "norm.h"
#include "quad.h"

static __global__ void __launch_bounds__(EX_BLOCK)
    norm_fold_bwd_kernel(ex_norm_fold_gradient g, const int32_t *channel)
{
    EX_SHARED(double, sums, EX_BLOCK);
    const size_t k = channel ? (size_t)channel[blockIdx.x] : blockIdx.x;
    const float ratio = ex_norm_ratio_body(g.scale[k], g.var[k], g.eps);
    float *d = g.dweight + k * g.row;
    const float *w = g.weight + k * g.row;
    double sum = 0.0;
    for (size_t i = threadIdx.x; i < g.row; i += EX_BLOCK) {
        sum += (double)w[i] * (double)d[i];
        d[i] *= ratio;
    }
    sums[threadIdx.x] = sum;
    for (unsigned half = EX_BLOCK / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x != 0)
        return;
    const double centre = (g.bias ? (double)g.bias[k] : 0.0) - (double)g.mean[k];
    g.dscale[k] =
        (float)((sums[0] + centre * (double)g.dshift[k]) / sqrt((double)(g.var[k] + g.eps)));
    if (g.dbias)
        g.dbias[k] = g.dshift[k] * ratio;
}

void ex_norm_fold_bwd_cuda(const ex_norm_fold_gradient *g, const int32_t *channel, int channels,
                           ex_stream s)
{
    if (channels > 0)
        EX_LAUNCH_TOGETHER(norm_fold_bwd_kernel, (unsigned)channels, EX_BLOCK, 0, s, *g, channel);
}
