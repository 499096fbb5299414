/* What the tests of kernels share: random inputs between guards, and comparison of bits.
 *
 * Each test runs one operation of the table against its plain reference, for every number of
 * threads in KERNEL_THREADS, and expects the same bits of all of them. The same files are compiled
 * for the host's table, for CUDA's run by tests/emulated (EX_TEST_EMULATED), whose emulated device
 * then has as many multiprocessors as there would be threads, and for CUDA's on a GPU
 * (EX_TEST_MIRRORED), whose memory gets copies of the operands: tests/gpu/mirror.h. With both the
 * device is tests/emulated/device, whose memory faults where nothing was allocated. */
#ifndef EX_TEST_KERNELS_H
#define EX_TEST_KERNELS_H

#include "base/rng.h"
#include "reference.h"
#include "test.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if defined(EX_TEST_EMULATED)
#include "emulate.h"
#endif
#if defined(EX_TEST_MIRRORED)
#include "mirror.h"
static const ex_kernels *const k = &ex_kernels_mirrored;
#elif defined(EX_TEST_EMULATED)
#include "table_cuda.h"
static const ex_kernels *const k = &ex_kernels_cuda;
#else
static const ex_kernels *const k = &ex_kernels_host;
#endif

/* A shape's last field is its type: float32 where a test leaves it out. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

static const int KERNEL_THREADS[] = {1, 2, 3};
enum { KERNEL_THREADS_COUNT = 3 };

/* Sizes around vector widths, and two that are worth several threads. */
static const size_t KERNEL_SIZES[] = {0, 1, 7, 15, 16, 17, 31, 32, 33, 1023, 40000, 140001};
enum { KERNEL_SIZES_COUNT = 12 };

/* Fails if a launch did, since the last call; the mirror fails by itself. */
static inline void check_launches(void)
{
#if defined(EX_TEST_EMULATED) && !defined(EX_TEST_MIRRORED)
    const char *kernel = NULL, *violation = ex_emulated_violation();
    const int error = ex_kernels_cuda_error(&kernel, NULL);
    if (error != 0)
        fail_msg("%s: error %d: %s", kernel, error, violation ? violation : "launch refused");
#endif
}

static inline ex_stream threads_stream(int threads)
{
    check_launches();
#if defined(EX_TEST_EMULATED)
    ex_emulated_set_multiprocessors(threads);
#endif
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

/* n values, random or NaN, `shift` floats past a multiple of 16 bytes; freed by free_shifted. */
static inline float *shifted_floats(size_t n, size_t shift, uint64_t seed)
{
    return random_floats(n + shift, seed) + shift;
}

static inline float *shifted_output(size_t n, size_t shift)
{
    return ex_guard_floats(n + shift) + shift;
}

static inline void free_shifted(float *values, size_t shift)
{
    ex_guard_free(values - shift);
}

static inline void poison(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] = NAN;
}

/* The same bits; of a NaN a device may make its own. */
static inline bool is_same_float(const float *actual, const float *expected)
{
    return memcmp(actual, expected, sizeof *actual) == 0 || (isnan(*actual) && isnan(*expected));
}

/* Fails unless all n floats are the same, and the guards of `actual` are whole. */
static inline void assert_same_floats(const float *actual, const float *expected, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_same_float(actual + i, expected + i))
            fail_msg("element %zu of %zu: %.9g, expected the bits of %.9g", i, n, (double)actual[i],
                     (double)expected[i]);
    ex_guard_check(actual, n);
}

/* The same for shifted_output, whose floats before the first must still be NaN. */
static inline void assert_same_shifted(const float *actual, size_t shift, const float *expected,
                                       size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_same_float(actual + i, expected + i))
            fail_msg("element %zu of %zu, shifted by %zu: %.9g, expected the bits of %.9g", i, n,
                     shift, (double)actual[i], (double)expected[i]);
    for (size_t i = 1; i <= shift; i++)
        assert_true(isnan(*(actual - i)));
    ex_guard_check(actual - shift, n + shift);
}

/* Runs a file's tests; a failed launch after the last check fails too. */
static inline int check_launches_last(void **state)
{
    (void)state;
    check_launches();
    return 0;
}
#if defined(EX_TEST_MIRRORED)
#define run_kernel_tests(tests)                                                                    \
    (mirror_open() ? cmocka_run_group_tests(tests, NULL, check_launches_last) : 77)
#else
#define run_kernel_tests(tests) cmocka_run_group_tests(tests, NULL, check_launches_last)
#endif

static inline double dot(const float *a, const float *b, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

#endif
