/* Convolutions. The innermost loops run over the channels of one pixel, which the compiler makes
 * vectors of without changing an order of summation. */
#include "ops.h"

#include <cstring>

namespace ex_library
{

namespace
{

/* The part of a pixel's window inside the map: offsets r in [first, last), and where r = 0 lies. */
struct span {
    int origin, first, last;
};

span clip(int out, int window, int size, const ex_library::window &s)
{
    const int origin = out * s.stride - s.pad;
    const int first = origin < 0 ? -origin : 0;
    const int last = origin + window > size ? size - origin : window;
    return {origin, first, last};
}

/* Calls visit(pixel of x, pixel of y, offset in the filter) for every product of a convolution,
 * pixel of y by pixel of y. */
template <typename visitor> void each_product(const window &s, bool reversed, const visitor &visit)
{
    for (int n = 0; n < s.N; n++) {
        for (int p = 0; p < s.P; p++) {
            const span row = clip(p, s.R, s.H, s);
            for (int q = 0; q < s.Q; q++) {
                const span column = clip(q, s.S, s.W, s);
                const size_t y = (static_cast<size_t>(n) * s.P + p) * s.Q + q;
                const int rows = row.last - row.first, columns = column.last - column.first;
                const int taps = rows > 0 && columns > 0 ? rows * columns : 0;
                for (int i = 0; i < taps; i++) {
                    const int tap = reversed ? taps - 1 - i : i;
                    const int r = row.first + tap / columns, c = column.first + tap % columns;
                    const size_t x =
                        (static_cast<size_t>(n) * s.H + row.origin + r) * s.W + column.origin + c;
                    visit(x, y, r * s.S + c);
                }
            }
        }
    }
}

/* y += a x */
void axpy(float *__restrict y, float a, const float *__restrict x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] += a * x[i];
}

void axpy(double *__restrict y, double a, const float *__restrict x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] += a * x[i];
}

} // namespace

namespace
{

/* Channels that a filter reads, filters that read them, and values of a filter. */
int inputs(const window &s)
{
    return s.C / s.groups;
}

int outputs(const window &s)
{
    return s.K / s.groups;
}

size_t filter_size(const window &s)
{
    return static_cast<size_t>(s.R) * s.S * inputs(s);
}

} // namespace

size_t conv_fwd_scratch(const window &s)
{
    return s.K * filter_size(s) * sizeof(float);
}

size_t conv_wgrad_scratch(const window &s)
{
    return s.K * filter_size(s) * sizeof(double);
}

void conv_fwd(float *y, const float *x, const float *w, const window &s, void *scratch,
              bool reversed)
{
    const int C = inputs(s), K = outputs(s);
    const size_t row = filter_size(s);
    float *filters = static_cast<float *>(scratch); /* (groups, R, S, C, K) */
    for (int k = 0; k < s.K; k++)
        for (size_t i = 0; i < row; i++)
            filters[(k / K * row + i) * K + k % K] = w[k * row + i];
    memset(y, 0, static_cast<size_t>(s.N) * s.P * s.Q * s.K * sizeof *y);
    each_product(s, reversed, [&](size_t in, size_t out, int tap) {
        for (int c = 0; c < s.C; c++) {
            const size_t group = c / C;
            axpy(y + out * s.K + group * K, x[in * s.C + c],
                 filters + (group * row + static_cast<size_t>(tap) * C + c % C) * K, K);
        }
    });
}

void conv_dgrad(float *dx, const float *dy, const float *w, const window &s, bool reversed)
{
    const int C = inputs(s), K = outputs(s);
    const size_t row = filter_size(s);
    memset(dx, 0, static_cast<size_t>(s.N) * s.H * s.W * s.C * sizeof *dx);
    each_product(s, reversed, [&](size_t in, size_t out, int tap) {
        for (int k = 0; k < s.K; k++)
            axpy(dx + in * s.C + k / K * C, dy[out * s.K + k],
                 w + k * row + static_cast<size_t>(tap) * C, C);
    });
}

void conv_wgrad(float *dw, const float *dy, const float *x, const window &s, void *scratch,
                bool reversed)
{
    const int C = inputs(s), K = outputs(s);
    const size_t row = filter_size(s);
    double *sums = static_cast<double *>(scratch); /* (K, R, S, C) */
    memset(sums, 0, conv_wgrad_scratch(s));
    each_product(s, reversed, [&](size_t in, size_t out, int tap) {
        for (int k = 0; k < s.K; k++)
            axpy(sums + k * row + static_cast<size_t>(tap) * C,
                 static_cast<double>(dy[out * s.K + k]), x + in * s.C + k / K * C, C);
    });
    for (size_t i = 0; i < s.K * row; i++)
        dw[i] = static_cast<float>(sums[i]);
}

} // namespace ex_library
