/* The matrix products of winograd.h: eight tiles by 32 channels at a time, their sums in registers
 * from the first input channel to the last. */
#include "winograd.h"

#include "host.h"

#include <math.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { ROWS = EX_WINOGRAD_ROWS, PANEL = EX_WINOGRAD_PANEL, BLOCK = EX_WINOGRAD_BLOCK };

bool ex_winograd_is_fast(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512f");
#else
    return false;
#endif
}

#if defined(__x86_64__)
/* Sixteen sums hide the latency of a multiply-add, and each value that is loaded serves two. */
__attribute__((target("avx512f"))) static void
sum_avx512(float *m, const float *v, const float *filters, size_t C, size_t room)
{
    __m512 sum[ROWS][2];
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++)
        sum[i][0] = sum[i][1] = _mm512_setzero_ps();
    for (size_t c = 0; c < C; c += BLOCK, v += room * BLOCK)
        for (int j = 0; j < BLOCK; j++, filters += PANEL) {
            const __m512 first = _mm512_loadu_ps(filters),
                         second = _mm512_loadu_ps(filters + BLOCK);
#pragma GCC unroll 8
            for (int i = 0; i < ROWS; i++) {
                const __m512 value = _mm512_set1_ps(v[i * BLOCK + j]);
                sum[i][0] = _mm512_fmadd_ps(value, first, sum[i][0]);
                sum[i][1] = _mm512_fmadd_ps(value, second, sum[i][1]);
            }
        }
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++) {
        _mm512_storeu_ps(m + i * BLOCK, sum[i][0]);
        _mm512_storeu_ps(m + room * BLOCK + i * BLOCK, sum[i][1]);
    }
}
#endif

/* The same operations in the same order. */
static void sum_plain(float *m, const float *v, const float *filters, size_t C, size_t room)
{
    for (size_t i = 0; i < ROWS; i++)
        for (size_t k = 0; k < PANEL; k++) {
            float sum = 0.0f;
            for (size_t c = 0; c < C; c++)
                sum = fmaf(v[(c / BLOCK * room + i) * BLOCK + c % BLOCK], filters[c * PANEL + k],
                           sum);
            m[(k / BLOCK * room + i) * BLOCK + k % BLOCK] = sum;
        }
}

void ex_winograd_product(float *m, const float *v, const float *filters, size_t C, size_t room,
                         size_t tiles)
{
    const bool fast = ex_winograd_is_fast();
    for (size_t t = 0; t < tiles * BLOCK; t += ROWS * BLOCK)
#if defined(__x86_64__)
        if (fast)
            sum_avx512(m + t, v + t, filters, C, room);
        else
#endif
            sum_plain(m + t, v + t, filters, C, room);
    (void)fast;
}

/* --- gradients of filters --------------------------------------------------------------------- */

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void sum_weights_avx512(float *u, size_t row,
                                                                  const float *m, const float *v,
                                                                  size_t room, size_t tiles,
                                                                  bool first)
{
    __m512 sum[ROWS][2];
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++)
        sum[i][0] = sum[i][1] = _mm512_setzero_ps();
    for (size_t t = 0; t < tiles; t++, m += BLOCK, v += BLOCK) {
        const __m512 one = _mm512_loadu_ps(v), two = _mm512_loadu_ps(v + room * BLOCK);
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++) {
            const __m512 value = _mm512_set1_ps(m[i]);
            sum[i][0] = _mm512_fmadd_ps(value, one, sum[i][0]);
            sum[i][1] = _mm512_fmadd_ps(value, two, sum[i][1]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++, u += row) {
        if (!first) {
            sum[i][0] = _mm512_add_ps(_mm512_loadu_ps(u), sum[i][0]);
            sum[i][1] = _mm512_add_ps(_mm512_loadu_ps(u + BLOCK), sum[i][1]);
        }
        _mm512_storeu_ps(u, sum[i][0]);
        _mm512_storeu_ps(u + BLOCK, sum[i][1]);
    }
}
#endif

void ex_winograd_product_weights(float *u, size_t row, const float *m, const float *v, size_t room,
                                 size_t tiles, bool first)
{
#if defined(__x86_64__)
    if (ex_winograd_is_fast()) {
        sum_weights_avx512(u, row, m, v, room, tiles, first);
        return;
    }
#endif
    for (size_t i = 0; i < ROWS; i++)
        for (size_t c = 0; c < PANEL; c++) {
            float sum = 0.0f;
            for (size_t t = 0; t < tiles; t++)
                sum = fmaf(m[t * BLOCK + i], v[(c / BLOCK * room + t) * BLOCK + c % BLOCK], sum);
            u[i * row + c] = first ? sum : u[i * row + c] + sum;
        }
}
