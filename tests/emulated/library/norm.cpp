/* Batch norm of training. Sums in double precision, over pixels in one order or the other. */
#include "ops.h"

#include <cmath>

namespace ex_library
{

namespace
{

/* sum[c] += term(i, c) over all pixels i. */
template <typename terms>
void sum_pixels(double *sum, const channels &s, bool reversed, const terms &term)
{
    for (int c = 0; c < s.C; c++)
        sum[c] = 0.0;
    for (size_t k = 0; k < s.count; k++) {
        const size_t i = reversed ? s.count - 1 - k : k;
        for (int c = 0; c < s.C; c++)
            sum[c] += term(i * s.C + c, c);
    }
}

} // namespace

size_t norm_scratch(const channels &s)
{
    return 2 * static_cast<size_t>(s.C) * sizeof(double);
}

void norm_fwd(const norm_values &v, float *y, const float *x, const channels &s, float eps,
              void *scratch, bool reversed)
{
    double *const mean = static_cast<double *>(scratch), *const var = mean + s.C;
    const double count = static_cast<double>(s.count);
    sum_pixels(mean, s, reversed, [&](size_t at, int) { return static_cast<double>(x[at]); });
    for (int c = 0; c < s.C; c++)
        mean[c] /= count;
    sum_pixels(var, s, reversed, [&](size_t at, int c) {
        return (static_cast<double>(x[at]) - mean[c]) * (static_cast<double>(x[at]) - mean[c]);
    });
    for (int c = 0; c < s.C; c++) {
        var[c] /= count;
        v.mean[c] = static_cast<float>(mean[c]);
        v.inverse[c] = static_cast<float>(1.0 / std::sqrt(var[c] + static_cast<double>(eps)));
        const double unbiased = var[c] * (count / (count - 1.0)); /* NaN of one value: 0 * inf */
        /* As a running statistic with a factor of 1. */
        v.running_mean[c] = 0.0f * v.a[c] + v.mean[c];
        v.running_var[c] = 0.0f * v.b[c] + static_cast<float>(unbiased);
    }
    for (size_t i = 0; i < s.count; i++)
        for (int c = 0; c < s.C; c++)
            y[i * s.C + c] = (x[i * s.C + c] - v.mean[c]) * v.inverse[c] * v.scale[c] + v.shift[c];
}

void norm_bwd(float *dx, float *dscale, float *dshift, const float *dy, const float *x,
              const float *scale, const float *mean, const float *inverse, const channels &s,
              void *scratch, bool reversed)
{
    double *const sum = static_cast<double *>(scratch), *const product = sum + s.C;
    const double count = static_cast<double>(s.count);
    sum_pixels(sum, s, reversed, [&](size_t at, int) { return static_cast<double>(dy[at]); });
    sum_pixels(product, s, reversed, [&](size_t at, int c) {
        return static_cast<double>(dy[at]) * static_cast<double>((x[at] - mean[c]) * inverse[c]);
    });
    for (int c = 0; c < s.C; c++) {
        dshift[c] = static_cast<float>(sum[c]);
        dscale[c] = static_cast<float>(product[c]);
    }
    for (size_t i = 0; i < s.count; i++)
        for (int c = 0; c < s.C; c++) {
            const size_t at = i * s.C + c;
            const double normal = static_cast<double>((x[at] - mean[c]) * inverse[c]);
            const double d = static_cast<double>(dy[at]) - (sum[c] + normal * product[c]) / count;
            dx[at] = static_cast<float>(static_cast<double>(scale[c] * inverse[c]) * d);
        }
}

} // namespace ex_library
