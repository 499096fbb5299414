/* Operations on single elements. */
#include "ops.h"

namespace ex_library
{

void bias_add(float *y, const float *x, const float *b, size_t count, int C)
{
    for (size_t i = 0; i < count; i++)
        for (int c = 0; c < C; c++)
            y[i * C + c] = x[i * C + c] + b[c];
}

void add(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

void relu(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] <= 0.0f ? 0.0f : x[i];
}

void relu_bwd(float *dx, const float *dy, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dx[i] = dy[i] * (y[i] > 0.0f ? 1.0f : 0.0f);
}

} // namespace ex_library
