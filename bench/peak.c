/* What the processor can do at most, measured: the two lines of a roofline. */
#include "bench.h"

#include "base/clock.h"
#include "base/memory.h"

#include <omp.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { CHAINS = 12, ROUNDS = 1 << 20, TRIES = 5 };

/* Best of some tries: what disturbs only makes them slower. */
static double best_rate(double work, double (*seconds)(int threads, void *context), int threads,
                        void *context)
{
    double best = 0.0;
    for (int i = 0; i < TRIES; i++) {
        const double rate = work / seconds(threads, context);
        best = rate > best ? rate : best;
    }
    return best;
}

/* --- multiply-adds ---------------------------------------------------------------------------- */

/* Enough independent sums to fill the units, however long one takes. Each gives a value that
 * depends on all of them, and the operations that it took. */
#if defined(__x86_64__)
__attribute__((target("avx512f"))) static double run_avx512(float *out)
{
    __m512 sum[CHAINS];
    const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f);
    for (int i = 0; i < CHAINS; i++)
        sum[i] = _mm512_set1_ps((float)i);
    for (int round = 0; round < ROUNDS; round++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            sum[i] = _mm512_fmadd_ps(sum[i], a, b);
    for (int i = 1; i < CHAINS; i++)
        sum[0] = _mm512_add_ps(sum[0], sum[i]);
    *out = _mm512_cvtss_f32(sum[0]);
    return 2.0 * 16 * CHAINS * ROUNDS;
}

__attribute__((target("avx2,fma"))) static double run_avx2(float *out)
{
    __m256 sum[CHAINS];
    const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f);
    for (int i = 0; i < CHAINS; i++)
        sum[i] = _mm256_set1_ps((float)i);
    for (int round = 0; round < ROUNDS; round++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            sum[i] = _mm256_fmadd_ps(sum[i], a, b);
    for (int i = 1; i < CHAINS; i++)
        sum[0] = _mm256_add_ps(sum[0], sum[i]);
    *out = _mm256_cvtss_f32(sum[0]);
    return 2.0 * 8 * CHAINS * ROUNDS;
}
#endif

/* Compilers that know the instruction, and can ask whether the processor has it. */
#if !defined(__x86_64__)
#elif defined(__clang__) ? __clang_major__ >= 11 : __GNUC__ >= 11
#define HAVE_BF16 1
#endif

#if defined(HAVE_BF16)
/* Two products and two sums of float32 in each of sixteen places. */
__attribute__((target("avx512f,avx512bw,avx512bf16"))) static double run_bf16(float *out)
{
    __m512 sum[CHAINS];
    const __m512bh a = (__m512bh)_mm512_set1_epi16(0x3f7f); /* 0.996 */
    const __m512bh b = (__m512bh)_mm512_set1_epi16(0x3a83); /* 1e-3 */
    for (int i = 0; i < CHAINS; i++)
        sum[i] = _mm512_set1_ps((float)i);
    for (int round = 0; round < ROUNDS; round++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            sum[i] = _mm512_dpbf16_ps(sum[i], a, b);
    for (int i = 1; i < CHAINS; i++)
        sum[0] = _mm512_add_ps(sum[0], sum[i]);
    *out = _mm512_cvtss_f32(sum[0]);
    return 2.0 * 32 * CHAINS * ROUNDS;
}
#endif

typedef float four __attribute__((vector_size(4 * sizeof(float))));

static double run_baseline(float *out)
{
    four sum[CHAINS] = {{0}};
    const four a = {0.999f, 0.999f, 0.999f, 0.999f}, b = {1e-3f, 1e-3f, 1e-3f, 1e-3f};
    for (int round = 0; round < ROUNDS; round++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            sum[i] = sum[i] * a + b;
    for (int i = 1; i < CHAINS; i++)
        sum[0] += sum[i];
    *out = sum[0][0];
    return 2.0 * 4 * CHAINS * ROUNDS;
}

static double multiply_add(float *out)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return run_avx512(out);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return run_avx2(out);
#endif
    return run_baseline(out);
}

typedef struct loop {
    double (*run)(float *out);
} loop;

/* Of one operation. */
static double loop_seconds(int threads, void *context)
{
    const loop *l = context;
    double done = 0.0;
    float sum = 0.0f;
    const double start = ex_work_now(threads);
#pragma omp parallel num_threads(threads) reduction(+ : done, sum) if (threads > 1)
    {
        float out;
        done += l->run(&out);
        sum += out;
    }
    const double seconds = ex_work_now(threads) - start;
    volatile float result = sum; /* else the loops may go */
    (void)result;
    return seconds / done;
}

double bench_peak_flops(int threads)
{
    loop l = {multiply_add};
    return best_rate(1.0, loop_seconds, threads, &l);
}

double bench_peak_bf16(int threads)
{
#if defined(HAVE_BF16)
    loop l = {run_bf16};
    if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw"))
        return best_rate(1.0, loop_seconds, threads, &l);
#else
    (void)threads;
#endif
    return 0.0;
}

/* --- triad ------------------------------------------------------------------------------------ */

enum { TRIAD_FLOATS = 1 << 24 }; /* of each vector: 64 MiB, beyond caches */

typedef struct triad {
    float *a, *b, *c;
} triad;

static double triad_seconds(int threads, void *context)
{
    const triad *t = context;
    float *restrict a = t->a;
    const float *restrict b = t->b, *restrict c = t->c;
    const double start = ex_work_now(threads);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int i = 0; i < TRIAD_FLOATS; i++)
        a[i] = b[i] + 0.5f * c[i];
    return ex_work_now(threads) - start;
}

ex_status bench_peak_bytes(double *out, int threads)
{
    triad t = {0};
    ex_status status;
    EX_TRY_GOTO(ex_alloc(&t.a, TRIAD_FLOATS, sizeof *t.a, "triad"), done);
    EX_TRY_GOTO(ex_alloc(&t.b, TRIAD_FLOATS, sizeof *t.b, "triad"), done);
    EX_TRY_GOTO(ex_alloc(&t.c, TRIAD_FLOATS, sizeof *t.c, "triad"), done);
    for (int i = 0; i < TRIAD_FLOATS; i++)
        t.a[i] = t.b[i] = t.c[i] = 1.0f;
    *out = best_rate(3.0 * TRIAD_FLOATS * sizeof(float), triad_seconds, threads, &t);
done:
    ex_free(&t.a);
    ex_free(&t.b);
    ex_free(&t.c);
    return status;
}
