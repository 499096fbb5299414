/* Batch norm outside cuDNN's graphs: folding into filters, running statistics.
 *
 *   r_k = scale_k / sqrt(var_k + eps)    W'_k = W_k * r_k    b'_k = shift_k + (b_k - mean_k) * r_k
 *   running = running + momentum * (batch - running),  batch variance * count / (count - 1) first
 *
 * W (K, row), one filter a row and a block; all else (K) or (C). */
#include "norm.h"
#include "quad.h"

typedef struct terms {
    const float *bias, *scale, *shift, *mean, *var; /* (K); bias may be NULL */
    float eps;
} terms;

template <int WIDTH>
static inline __device__ void scale_row(float *out, const float *in, float ratio, size_t begin,
                                        size_t end)
{
    for (size_t i = begin + threadIdx.x * (size_t)WIDTH; i < end; i += blockDim.x * (size_t)WIDTH) {
        float value[WIDTH];
        ex_quad_load(value, in + i);
        for (int j = 0; j < WIDTH; j++)
            value[j] *= ratio;
        ex_quad_store(out + i, value);
    }
}

/* Reads 4 bytes a weight and 20 a filter, writes 4 a weight and 4 a filter. W' may be W. */
static __global__ void __launch_bounds__(EX_BLOCK)
    norm_fold_kernel(float *weight_out, float *bias_out, const float *weight, terms f,
                     const int32_t *channel, int channels, size_t row, bool quads)
{
    for (int i = (int)blockIdx.x; i < channels; i += (int)gridDim.x) {
        const int k = channel ? channel[i] : i;
        const float ratio = ex_norm_ratio_body(f.scale[k], f.var[k], f.eps);
        if (threadIdx.x == 0)
            bias_out[k] = f.shift[k] + ((f.bias ? f.bias[k] : 0.0f) - f.mean[k]) * ratio;
        const size_t begin = (size_t)k * row;
        if (quads)
            scale_row<EX_QUAD>(weight_out, weight, ratio, begin, begin + row);
        else
            scale_row<1>(weight_out, weight, ratio, begin, begin + row);
    }
}

/* Reads 16 bytes a channel (and 1 where there is a selection), writes 8. */
static __global__ void __launch_bounds__(EX_BLOCK)
    norm_running_kernel(float *running_mean, float *running_var, const float *batch_mean,
                        const float *batch_var, const uint8_t *selected, float unbias,
                        float momentum, int C)
{
    for (size_t c = ex_thread(); c < (size_t)C; c += ex_threads()) {
        if (selected && !selected[c])
            continue;
        running_mean[c] = ex_norm_running_body(running_mean[c], batch_mean[c], momentum);
        running_var[c] = ex_norm_running_body(running_var[c], batch_var[c] * unbias, momentum);
    }
}

void ex_norm_fold_cuda(float *weight_out, float *bias_out, const float *weight, const float *bias,
                       const float *scale, const float *shift, const float *mean, const float *var,
                       float eps, const int32_t *channel, int channels, size_t row, ex_stream s)
{
    if (channels <= 0)
        return;
    const terms f = {bias, scale, shift, mean, var, eps};
    const bool quads = row % EX_QUAD == 0 && ex_aligned(weight_out, weight);
    EX_LAUNCH(norm_fold_kernel, ex_launch_blocks((size_t)channels * EX_BLOCK), EX_BLOCK, 0, s,
              weight_out, bias_out, weight, f, channel, channels, row, quads);
}

void ex_norm_running_cuda(float *running_mean, float *running_var, const float *batch_mean,
                          const float *batch_var, const uint8_t *selected, size_t count,
                          float momentum, int C, ex_stream s)
{
    if (C <= 0)
        return;
    const float unbias = count > 1 ? (float)((double)count / (double)(count - 1)) : 1.0f;
    EX_LAUNCH(norm_running_kernel, ex_launch_blocks((size_t)C), EX_BLOCK, 0, s, running_mean,
              running_var, batch_mean, batch_var, selected, unbias, momentum, C);
}
