/* Pools. The index of a largest value is where it lies in its window, counted from the end: a
 * format of the library's own. */
#include "ops.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ex_library
{

namespace
{

/* Calls visit(value of x, value of y, offset in the window) for each pair, window by window. */
template <typename visitor> void each_value(const window &s, const visitor &visit)
{
    for (int n = 0; n < s.N; n++)
        for (int p = 0; p < s.P; p++)
            for (int q = 0; q < s.Q; q++)
                for (int tap = 0; tap < s.R * s.S; tap++) {
                    const int h = p * s.stride - s.pad + tap / s.S;
                    const int w = q * s.stride - s.pad + tap % s.S;
                    if (h < 0 || h >= s.H || w < 0 || w >= s.W)
                        continue;
                    const size_t x = (static_cast<size_t>(n) * s.H + h) * s.W + w;
                    const size_t y = (static_cast<size_t>(n) * s.P + p) * s.Q + q;
                    for (int c = 0; c < s.C; c++)
                        visit(x * s.C + c, y * s.C + c, tap);
                }
}

size_t inputs(const window &s)
{
    return static_cast<size_t>(s.N) * s.H * s.W * s.C;
}

size_t outputs(const window &s)
{
    return static_cast<size_t>(s.N) * s.P * s.Q * s.C;
}

} // namespace

void maxpool_fwd(float *y, signed char *index, const float *x, const window &s)
{
    memset(index, -1, outputs(s));
    each_value(s, [&](size_t in, size_t out, int tap) {
        const bool first = index[out] < 0;
        if (!first && (std::isnan(y[out]) || !(x[in] > y[out] || std::isnan(x[in]))))
            return;
        y[out] = x[in];
        index[out] = static_cast<signed char>(s.R * s.S - 1 - tap);
    });
}

void maxpool_bwd(float *dx, const float *dy, const signed char *index, const window &s)
{
    memset(dx, 0, inputs(s) * sizeof *dx);
    for (size_t i = 0; i < outputs(s); i++)
        if (index[i] < 0 || index[i] >= s.R * s.S) { /* a library would write anywhere */
            fprintf(stderr, "maxpool_bwd: index %d of a window of %d\n", index[i], s.R * s.S);
            abort();
        }
    each_value(s, [&](size_t in, size_t out, int tap) {
        if (index[out] == s.R * s.S - 1 - tap)
            dx[in] += dy[out];
    });
}

void avgpool_fwd(float *y, const float *x, const window &s)
{
    memset(y, 0, outputs(s) * sizeof *y);
    each_value(s, [&](size_t in, size_t out, int) { y[out] += x[in]; });
    for (size_t i = 0; i < outputs(s); i++)
        y[i] /= static_cast<float>(s.R * s.S);
}

void avgpool_bwd(float *dx, const float *dy, const window &s)
{
    memset(dx, 0, inputs(s) * sizeof *dx);
    each_value(
        s, [&](size_t in, size_t out, int) { dx[in] += dy[out] / static_cast<float>(s.R * s.S); });
}

} // namespace ex_library
