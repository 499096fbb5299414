/* Reference of the batch-norm operations. */
#include "reference.h"

#include <math.h>

void ex_norm_fold_ref(float *weight_out, float *bias_out, const float *weight, const float *bias,
                      const float *scale, const float *shift, const float *mean, const float *var,
                      float eps, const int32_t *channel, int channels, size_t row)
{
    for (int c = 0; c < channels; c++) {
        const int k = channel ? channel[c] : c;
        const float r = scale[k] / sqrtf(var[k] + eps);
        for (size_t i = 0; i < row; i++)
            weight_out[(size_t)k * row + i] = weight[(size_t)k * row + i] * r;
        bias_out[k] = shift[k] + (bias ? bias[k] - mean[k] : -mean[k]) * r;
    }
}

void ex_norm_fold_bwd_ref(const ex_norm_fold_gradient *g, const int32_t *channel, int channels)
{
    for (int i = 0; i < channels; i++) {
        const int k = channel ? channel[i] : i;
        const double std = sqrt((double)g->var[k] + (double)g->eps);
        double sum =
            ((g->bias ? (double)g->bias[k] : 0.0) - (double)g->mean[k]) * (double)g->dshift[k];
        for (size_t j = 0; j < g->row; j++) {
            float *d = &g->dweight[(size_t)k * g->row + j];
            sum += (double)g->weight[(size_t)k * g->row + j] * (double)*d;
            *d = (float)((double)*d * (double)g->scale[k] / std);
        }
        g->dscale[k] = (float)(sum / std);
        if (g->dbias)
            g->dbias[k] = (float)((double)g->dshift[k] * (double)g->scale[k] / std);
    }
}

void ex_norm_running_ref(float *running_mean, float *running_var, const float *batch_mean,
                         const float *batch_var, const uint8_t *selected, size_t count,
                         float momentum, int C)
{
    for (int c = 0; c < C; c++) {
        if (selected && selected[c] == 0)
            continue;
        const double unbias = count == 1 ? 1.0 : (double)count / ((double)count - 1.0);
        const double mean = running_mean[c], var = running_var[c];
        running_mean[c] = (float)(mean + (double)momentum * ((double)batch_mean[c] - mean));
        running_var[c] = (float)(var + (double)momentum * ((double)batch_var[c] * unbias - var));
    }
}
