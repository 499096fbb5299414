/* Pools and operations on single elements. */
#include "ops.h"

#include <cmath>
#include <cstring>

namespace ex_library
{

namespace
{

size_t pixel(int n, int y, int x, int height, int width)
{
    return (static_cast<size_t>(n) * height + y) * width + x;
}

/* Calls visit(offset in x, offset in the window, offset in y) for every value that a pool reads,
 * window by window. */
template <typename visitor> void each_value(const window &s, const visitor &visit)
{
    for (int n = 0; n < s.N; n++)
        for (int p = 0; p < s.P; p++)
            for (int q = 0; q < s.Q; q++)
                for (int tap = 0; tap < s.R * s.S; tap++) {
                    const int h = p * s.stride - s.pad + tap / s.S;
                    const int w = q * s.stride - s.pad + tap % s.S;
                    if (h >= 0 && h < s.H && w >= 0 && w < s.W)
                        visit(pixel(n, h, w, s.H, s.W) * s.C, tap, pixel(n, p, q, s.P, s.Q) * s.C);
                }
}

size_t in_size(const window &s)
{
    return static_cast<size_t>(s.N) * s.H * s.W * s.C;
}

size_t out_size(const window &s)
{
    return static_cast<size_t>(s.N) * s.P * s.Q * s.C;
}

} // namespace

void maxpool_fwd(float *y, int8_t *index, const float *x, const window &s)
{
    memset(index, -1, out_size(s));
    each_value(s, [&](size_t in, int tap, size_t out) {
        for (int c = 0; c < s.C; c++) {
            const float value = x[in + c], best = y[out + c];
            if (index[out + c] >= 0 && !(value > best) && !(std::isnan(value) && !std::isnan(best)))
                continue;
            y[out + c] = value;
            index[out + c] = static_cast<int8_t>(tap);
        }
    });
}

void maxpool_bwd(float *dx, const float *dy, const int8_t *index, const window &s)
{
    memset(dx, 0, in_size(s) * sizeof *dx);
    each_value(s, [&](size_t in, int tap, size_t out) {
        for (int c = 0; c < s.C; c++)
            if (index[out + c] == tap)
                dx[in + c] += dy[out + c];
    });
}

void avgpool_fwd(float *y, const float *x, const window &s)
{
    memset(y, 0, out_size(s) * sizeof *y);
    each_value(s, [&](size_t in, int, size_t out) {
        for (int c = 0; c < s.C; c++)
            y[out + c] += x[in + c];
    });
    for (size_t i = 0; i < out_size(s); i++)
        y[i] /= static_cast<float>(s.R * s.S);
}

void avgpool_bwd(float *dx, const float *dy, const window &s)
{
    memset(dx, 0, in_size(s) * sizeof *dx);
    each_value(s, [&](size_t in, int, size_t out) {
        for (int c = 0; c < s.C; c++)
            dx[in + c] += dy[out + c] / static_cast<float>(s.R * s.S);
    });
}

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

} // namespace ex_library
