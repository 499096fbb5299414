/* Reference of training's batch norm: the definition in kernels.h, one channel at a time. */
#include "reference.h"

#include <math.h>
#include <stdbool.h>

/* Element i of channel c, of N * H * W in the order of images, rows, columns. */
static size_t element(const ex_map_shape *m, int c, int i)
{
    const int pixel = i % (m->H * m->W);
    return ex_ref_offset(i / (m->H * m->W), c, pixel / m->W, pixel % m->W, m->C, m->H, m->W,
                         m->block);
}

static int elements(const ex_map_shape *m)
{
    return m->N * m->H * m->W;
}

static double ratio(const ex_norm_train *n, double var)
{
    return 1.0 / sqrt(var + (double)n->eps);
}

static double normalised(const ex_norm_train *n, int c, double x, double mean, double var)
{
    return (x - mean) * ratio(n, var) * (double)n->scale[c] + (double)n->shift[c];
}

static void statistics(double *mean, double *var, const float *x, const ex_map_shape *m, int c)
{
    *mean = *var = 0.0;
    for (int i = 0; i < elements(m); i++)
        *mean += (double)x[element(m, c, i)] / elements(m);
    for (int i = 0; i < elements(m); i++) {
        const double d = (double)x[element(m, c, i)] - *mean;
        *var += d * d / elements(m);
    }
}

void ex_norm_train_fwd_ref(float *y, const float *x, const float *residual, const ex_norm_train *n)
{
    const ex_map_shape *m = &n->shape;
    for (int c = 0; c < m->C && elements(m) > 0; c++) {
        double mean, var;
        statistics(&mean, &var, x, m, c);
        n->mean[c] = (float)mean;
        n->var[c] = (float)var;
        for (int i = 0; i < elements(m); i++) {
            const size_t at = element(m, c, i);
            const double v = normalised(n, c, (double)x[at], mean, var) +
                             (residual ? (double)residual[at] : 0.0);
            y[at] = n->relu && v <= 0.0 ? 0.0f : (float)v;
        }
    }
}

/* The gradient behind the ReLU. */
static double passed(const ex_norm_train_gradient *g, const ex_norm_train *n, int c, size_t at)
{
    const float *g1 = g->g1, *g2 = g->g2, *x = g->x, *out = g->y;
    const double sum = (double)g1[at] + (g2 ? (double)g2[at] : 0.0);
    const double y = out ? (double)out[at]
                         : normalised(n, c, (double)x[at], (double)n->mean[c], (double)n->var[c]);
    return n->relu && y <= 0.0 ? 0.0 : sum;
}

void ex_norm_train_bwd_ref(const ex_norm_train_gradient *g, const ex_norm_train *n)
{
    const ex_map_shape *m = &n->shape;
    const double count = elements(m);
    const float *x = g->x;
    float *g1 = g->g1, *dx = g->dx;
    for (int c = 0; c < m->C && elements(m) > 0; c++) {
        const double mean = (double)n->mean[c], r = ratio(n, (double)n->var[c]);
        double dshift = 0.0, dscale = 0.0;
        for (int i = 0; i < elements(m); i++) {
            const size_t at = element(m, c, i);
            const double d = passed(g, n, c, at);
            dshift += d;
            dscale += d * ((double)x[at] - mean) * r;
        }
        for (int i = 0; i < elements(m); i++) {
            const size_t at = element(m, c, i);
            const double d = passed(g, n, c, at), centred = (double)x[at] - mean;
            const double batch = (dshift + centred * r * dscale) / count;
            if (g->keep)
                g1[at] = (float)d;
            dx[at] = (float)((double)n->scale[c] * r * (d - batch));
        }
        g->dshift[c] = (float)dshift;
        g->dscale[c] = (float)dscale;
    }
}
