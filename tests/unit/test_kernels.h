/* What the tests of kernels share: random inputs between guards, and comparison of bits.
 *
 * Each test runs one operation of the table against its plain reference, for every number of
 * threads in KERNEL_THREADS, and expects the same bits of all of them. */
#ifndef EX_TEST_KERNELS_H
#define EX_TEST_KERNELS_H

#include "base/rng.h"
#include "reference.h"
#include "test.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const ex_kernels *const k = &ex_kernels_host;

static const int KERNEL_THREADS[] = {1, 2, 3};
enum { KERNEL_THREADS_COUNT = 3 };

/* Sizes around vector widths, and two that are worth several threads. */
static const size_t KERNEL_SIZES[] = {0, 1, 7, 15, 16, 17, 31, 32, 33, 1023, 40000, 140001};
enum { KERNEL_SIZES_COUNT = 12 };

static inline ex_stream threads_stream(int threads)
{
    return (ex_stream){.threads = threads};
}

/* n values in [-2, 2) between guards. */
static inline float *random_floats(size_t n, uint64_t seed)
{
    float *values = ex_guard_floats(n);
    ex_rng r = ex_rng_at((ex_rng_key){.seed = seed, .use = EX_RNG_TEST});
    for (size_t i = 0; i < n; i++)
        values[i] = 4.0f * ex_rng_uniform(&r) - 2.0f;
    return values;
}

static inline float *copied_floats(const float *from, size_t n)
{
    float *values = ex_guard_floats(n);
    memcpy(values, from, n * sizeof *values);
    return values;
}

static inline void poison(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] = NAN;
}

/* Fails unless all n floats are the same bits, and the guards of `actual` are whole. */
static inline void assert_same_floats(const float *actual, const float *expected, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(actual + i, expected + i, sizeof *actual) != 0)
            fail_msg("element %zu of %zu: %.9g, expected the bits of %.9g", i, n, (double)actual[i],
                     (double)expected[i]);
    ex_guard_check(actual, n);
}

static inline double dot(const float *a, const float *b, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

#endif
