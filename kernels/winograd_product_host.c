/* The matrix products of winograd.h: eight tiles by 32 channels at a time, or sixteen by 16, their
 * sums in registers from the first input channel to the last. */
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
#define AVX512        __attribute__((target("avx512f")))
#define AVX512_INLINE __attribute__((target("avx512f"), always_inline)) static inline

enum { SUMS = 16 }; /* that are in registers, and hide the latency of a multiply-add */

AVX512_INLINE void clear(__m512 sum[SUMS])
{
#pragma GCC unroll 16
    for (int i = 0; i < SUMS; i++)
        sum[i] = _mm512_setzero_ps();
}

/* sum (rows, blocks) += a value of each row, `apart` from each other, times `blocks` vectors. */
AVX512_INLINE void add_products(__m512 sum[SUMS], const float *value, int apart,
                                const __m512 vector[2], int rows, int blocks)
{
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        const __m512 one = _mm512_set1_ps(value[i * apart]);
#pragma GCC unroll 2
        for (int b = 0; b < blocks; b++)
            sum[i * blocks + b] = _mm512_fmadd_ps(one, vector[b], sum[i * blocks + b]);
    }
}

AVX512_INLINE void sum_avx512(float *m, const float *v, const float *filters, size_t C, size_t room,
                              int rows, int blocks)
{
    __m512 sum[SUMS], filter[2];
    clear(sum);
    for (size_t c = 0; c < C; c += BLOCK, v += room * BLOCK)
        for (int j = 0; j < BLOCK; j++, filters += blocks * BLOCK) {
#pragma GCC unroll 2
            for (int b = 0; b < blocks; b++)
                filter[b] = _mm512_loadu_ps(filters + b * BLOCK);
            add_products(sum, v + j, BLOCK, filter, rows, blocks);
        }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int b = 0; b < blocks; b++)
            _mm512_storeu_ps(m + (size_t)b * room * BLOCK + i * BLOCK, sum[i * blocks + b]);
}

/* Each filter that is loaded serves eight tiles, and each value of a tile two blocks of filters. */
AVX512 static void product_wide(float *m, const float *v, const float *filters, size_t C,
                                size_t room, size_t tiles)
{
    for (size_t t = 0; t < tiles * BLOCK; t += ROWS * BLOCK)
        sum_avx512(m + t, v + t, filters, C, room, ROWS, 2);
}

AVX512 static void product_narrow(float *m, const float *v, const float *filters, size_t C,
                                  size_t room, size_t tiles)
{
    size_t t = 0;
    for (; t + 2 * ROWS <= tiles; t += 2 * ROWS)
        sum_avx512(m + t * BLOCK, v + t * BLOCK, filters, C, room, 2 * ROWS, 1);
    if (t < tiles)
        sum_avx512(m + t * BLOCK, v + t * BLOCK, filters, C, room, ROWS, 1);
}
#endif

/* The same operations in the same order. */
static void product_plain(float *m, const float *v, const float *filters, size_t C, size_t room,
                          size_t tiles, size_t width)
{
    for (size_t t = 0; t < tiles; t++)
        for (size_t k = 0; k < width; k++) {
            float sum = 0.0f;
            for (size_t c = 0; c < C; c++)
                sum = fmaf(v[(c / BLOCK * room + t) * BLOCK + c % BLOCK], filters[c * width + k],
                           sum);
            m[(k / BLOCK * room + t) * BLOCK + k % BLOCK] = sum;
        }
}

void ex_winograd_product(float *m, const float *v, const float *filters, size_t C, size_t room,
                         size_t tiles, size_t width)
{
#if defined(__x86_64__)
    if (ex_winograd_is_fast()) {
        (width == PANEL ? product_wide : product_narrow)(m, v, filters, C, room, tiles);
        return;
    }
#endif
    product_plain(m, v, filters, C, room, tiles, width);
}

/* --- gradients of filters --------------------------------------------------------------------- */

#if defined(__x86_64__)
AVX512_INLINE void sum_weights_avx512(float *u, size_t row, const float *m, const float *v,
                                      size_t room, size_t tiles, bool first, int rows, int blocks)
{
    __m512 sum[SUMS], value[2];
    clear(sum);
    for (size_t t = 0; t < tiles; t++, m += BLOCK, v += BLOCK) {
#pragma GCC unroll 2
        for (int b = 0; b < blocks; b++)
            value[b] = _mm512_loadu_ps(v + (size_t)b * room * BLOCK);
        add_products(sum, m, 1, value, rows, blocks);
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++, u += row)
#pragma GCC unroll 2
        for (int b = 0; b < blocks; b++) {
            const __m512 now = sum[i * blocks + b];
            _mm512_storeu_ps(u + b * BLOCK,
                             first ? now : _mm512_add_ps(_mm512_loadu_ps(u + b * BLOCK), now));
        }
}

AVX512 static void weights_wide(float *u, size_t row, const float *m, const float *v, size_t room,
                                size_t tiles, bool first)
{
    for (size_t k = 0; k < BLOCK; k += ROWS)
        sum_weights_avx512(u + k * row, row, m + k, v, room, tiles, first, ROWS, 2);
}

AVX512 static void weights_narrow(float *u, size_t row, const float *m, const float *v, size_t room,
                                  size_t tiles, bool first)
{
    sum_weights_avx512(u, row, m, v, room, tiles, first, BLOCK, 1);
}
#endif

void ex_winograd_product_weights(float *u, size_t row, const float *m, const float *v, size_t room,
                                 size_t tiles, size_t width, bool first)
{
#if defined(__x86_64__)
    if (ex_winograd_is_fast()) {
        (width == PANEL ? weights_wide : weights_narrow)(u, row, m, v, room, tiles, first);
        return;
    }
#endif
    for (size_t i = 0; i < BLOCK; i++)
        for (size_t c = 0; c < width; c++) {
            float sum = 0.0f;
            for (size_t t = 0; t < tiles; t++)
                sum = fmaf(m[t * BLOCK + i], v[(c / BLOCK * room + t) * BLOCK + c % BLOCK], sum);
            u[i * row + c] = first ? sum : u[i * row + c] + sum;
        }
}
