/* Batch norm outside the back end's own primitives: folding into filters, running statistics.
 *
 *   r_k = scale_k / sqrt(var_k + eps)
 *   W'_k = W_k * r_k                  b'_k = shift_k + (b_k - mean_k) * r_k
 *   running = running + momentum * (batch - running)
 * with the batch variance times count / (count - 1) first.
 *
 * W (K, row), one filter a row; all else (K) or (C). */
#include "host.h"
#include "norm.h"

typedef struct norm {
    const float *scale, *shift, *mean, *var; /* (K) */
    float eps;
} norm;

/* Rows [begin, end) of those in channel, or of all where that is NULL. W' may be W, element for
 * element: hence omp simd, not restrict. */
EX_CLONES static void fold_range(float *weight_out, float *bias_out, const float *weight,
                                 const float *bias, const norm *f, const int32_t *channel,
                                 size_t row, size_t begin, size_t end)
{
    for (size_t c = begin; c < end; c++) {
        const size_t k = channel ? (size_t)channel[c] : c;
        const float ratio = ex_norm_ratio_body(f->scale[k], f->var[k], f->eps);
        bias_out[k] = f->shift[k] + ((bias ? bias[k] : 0.0f) - f->mean[k]) * ratio;
#pragma omp simd
        for (size_t i = k * row; i < (k + 1) * row; i++)
            weight_out[i] = weight[i] * ratio;
    }
}

void ex_norm_fold_host(float *weight_out, float *bias_out, const float *weight, const float *bias,
                       const float *scale, const float *shift, const float *mean, const float *var,
                       float eps, const int32_t *channel, int channels, size_t row, ex_stream s)
{
    const norm f = {.scale = scale, .shift = shift, .mean = mean, .var = var, .eps = eps};
    EX_SHARE((size_t)channels, (size_t)channels * row, s,
             fold_range(weight_out, bias_out, weight, bias, &f, channel, row, begin, end));
}

/* A few hundred channels: never worth threads. */
void ex_norm_running_host(float *running_mean, float *running_var, const float *batch_mean,
                          const float *batch_var, const uint8_t *selected, size_t count,
                          float momentum, int C, ex_stream s)
{
    (void)s;
    const float unbias = count > 1 ? (float)((double)count / (double)(count - 1)) : 1.0f;
    for (int c = 0; c < C; c++) {
        if (selected && !selected[c])
            continue;
        running_mean[c] = ex_norm_running_body(running_mean[c], batch_mean[c], momentum);
        running_var[c] = ex_norm_running_body(running_var[c], batch_var[c] * unbias, momentum);
    }
}
