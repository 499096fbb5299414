#include "test_kernels.h"

#if defined(EX_TEST_EMULATED)
enum { IS_EMULATED = 1 };
#else
enum { IS_EMULATED = 0 };
#endif

static const ex_conv_shape SHAPES[] = {
    /* in {N, C, H, W, block}, K, out_H, out_W, out_block, R, S, stride, pad */
    {{3, 16, 8, 8, 16}, 16, 8, 8, 16, 3, 3, 1, 1},
    {{2, 32, 7, 5, 16}, 48, 7, 5, 16, 3, 3, 1, 1},
    {{2, 32, 7, 5, 32}, 33, 7, 5, 33, 3, 3, 1, 1},
    {{17, 16, 9, 9, 16}, 32, 5, 5, 16, 3, 3, 2, 1},
    {{3, 16, 8, 8, 16}, 32, 4, 4, 16, 1, 1, 2, 0},
    {{5, 3, 32, 32, 1}, 16, 32, 32, 16, 3, 3, 1, 1},
    {{2, 3, 12, 20, 3}, 16, 12, 20, 16, 3, 3, 1, 1},
    {{2, 5, 7, 21, 1}, 4, 5, 19, 1, 3, 3, 1, 0},
    {{1, 1, 28, 28, 1}, 16, 14, 14, 8, 3, 3, 2, 1},
    {{3, 48, 5, 6, 16}, 40, 5, 6, 8, 3, 3, 1, 1},
    {{41, 32, 4, 4, 16}, 40, 4, 4, 8, 3, 3, 1, 1},
    {{4, 64, 2, 2, 16}, 64, 2, 2, 16, 3, 3, 1, 1},
    {{1, 16, 1, 1, 16}, 1, 1, 1, 1, 3, 3, 1, 1},
    {{33, 16, 34, 34, 16}, 16, 34, 34, 16, 3, 3, 1, 1},
    {{0, 16, 4, 4, 16}, 16, 4, 4, 16, 3, 3, 1, 1},
    {{2, 8, 6, 6, 8}, 16, 6, 6, 8, 5, 5, 1, 2},
    /* One channel, and channels around a warp, in NHWC and in NCHW; images beyond the groups. */
    {{2, 1, 4, 3, 1}, 1, 4, 3, 1, 3, 3, 1, 1},
    {{2, 31, 3, 3, 31}, 33, 3, 3, 33, 1, 1, 1, 0},
    {{1, 33, 4, 3, 33}, 31, 4, 3, 31, 3, 3, 1, 1},
    {{2, 33, 5, 3, 1}, 32, 3, 2, 1, 1, 1, 2, 0},
    {{31, 31, 1, 1, 1}, 33, 1, 1, 33, 1, 1, 1, 0},
    {{32, 32, 2, 1, 32}, 2, 2, 1, 2, 1, 1, 1, 0},
    {{33, 33, 1, 2, 33}, 3, 1, 2, 1, 1, 1, 1, 0},
    {{1, 1023, 2, 1, 1023}, 2, 2, 1, 2, 1, 1, 1, 0},
    {{1023, 1, 1, 1, 1}, 3, 1, 1, 3, 1, 1, 1, 0},
};
enum { SHAPES_COUNT = sizeof SHAPES / sizeof *SHAPES, FIBERS_MOST = 160000 };

static size_t map_floats(int N, int C, int H, int W)
{
    return (size_t)N * (size_t)C * (size_t)H * (size_t)W;
}

/* So many filters, the last one among them. */
static int choose_rows(int32_t *row, int K, int rows)
{
    rows = rows < K ? rows : K;
    for (int j = 0; j < rows; j++)
        row[j] = (j + 1) * K / rows - 1;
    return rows;
}

#if !defined(EX_TEST_EMULATED)
/* Of the planes of dy, instead of it: the same bits. */
static void check_planes(const ex_conv_shape *c, const float *x, const float *dy,
                         const int32_t *row, int rows, const float *dw, const float *dsum)
{
    const size_t pixels = (size_t)c->out_H * (size_t)c->out_W, block = (size_t)c->out_block;
    const size_t weights = map_floats(c->K, c->in.C, c->R, c->S);
    float *scratch = ex_guard_floats(k->conv_rows_scratch(c, rows)), *plane = scratch;
    float *ours = ex_guard_floats(weights), *our_sum = ex_guard_floats((size_t)c->K);
    for (size_t n = 0; n < (size_t)c->in.N; n++)
        for (int j = 0; j < rows; j++)
            for (size_t i = 0; i < pixels; i++) {
                const size_t at = (size_t)row[j];
                *plane++ =
                    dy[(n * (size_t)c->K + at / block * block) * pixels + i * block + at % block];
            }
    memcpy(ours, dw, weights * sizeof *ours);
    memcpy(our_sum, dsum, (size_t)c->K * sizeof *ours);
    for (int j = 0; j < rows; j++) {
        const size_t filter = weights / (size_t)c->K;
        our_sum[row[j]] = 7.0f;
        for (size_t i = 0; i < filter; i++)
            ours[(size_t)row[j] * filter + i] = 7.0f;
    }
    k->conv_rows_bwd(ours, our_sum, x, NULL, row, rows, c, scratch, threads_stream(2));
    assert_same_floats(ours, dw, weights);
    assert_same_floats(our_sum, dsum, (size_t)c->K);
    ex_guard_free(scratch), ex_guard_free(ours), ex_guard_free(our_sum);
}
#endif

static void check_rows(const ex_conv_shape *c, int wanted)
{
    int32_t row[64];
    const int rows = choose_rows(row, c->K, wanted);
    const size_t weights = map_floats(c->K, c->in.C, c->R, c->S), K = (size_t)c->K;
    float *x = random_floats(map_floats(c->in.N, c->in.C, c->in.H, c->in.W), 1);
    float *dy = random_floats(map_floats(c->in.N, c->K, c->out_H, c->out_W), 2);
    float *dw = ex_guard_floats(weights), *dw_ref = ex_guard_floats(weights);
    float *first = ex_guard_floats(weights), *dsum = ex_guard_floats(K),
          *dsum_ref = ex_guard_floats(K);
    const size_t floats = k->conv_rows_scratch(c, rows);
    float *scratch = ex_guard_floats(floats);
    for (size_t i = 0; i < weights; i++)
        dw_ref[i] = 7.0f;
    for (size_t i = 0; i < K; i++)
        dsum_ref[i] = 7.0f;
    ex_conv_rows_bwd_ref(dw_ref, dsum_ref, x, dy, row, rows, c);
    for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
        for (size_t i = 0; i < weights; i++)
            dw[i] = 7.0f; /* other filters keep theirs */
        for (size_t i = 0; i < K; i++)
            dsum[i] = 7.0f;
        poison(scratch, floats);
        k->conv_rows_bwd(dw, dsum, x, dy, row, rows, c, scratch, threads_stream(KERNEL_THREADS[t]));
        /* Sums of up to 40,000 products of values in [-2, 2). */
        assert_close(dw, dw_ref, weights, 1e-3, 1e-5);
        assert_close(dsum, dsum_ref, K, 1e-3, 1e-5);
        if (t == 0)
            memcpy(first, dw, weights * sizeof *dw);
        assert_same_floats(dw, first, weights);
        ex_guard_check(dsum, K), ex_guard_check(scratch, floats);
    }
#if !defined(EX_TEST_EMULATED)
    check_planes(c, x, dy, row, rows, dw, dsum);
#endif
    k->conv_rows_bwd(dw, NULL, x, dy, row, rows, c, scratch, threads_stream(1));
    assert_same_floats(dw, first, weights);
    ex_guard_free(x), ex_guard_free(dy), ex_guard_free(dw), ex_guard_free(dw_ref);
    ex_guard_free(first), ex_guard_free(dsum), ex_guard_free(dsum_ref), ex_guard_free(scratch);
}

/* A thread of the emulation is a fiber, which lives as long as its pixels and images take. */
static long fibers_of(const ex_conv_shape *c, int rows)
{
    const int filters = rows < c->K ? rows : c->K, images = c->in.N < 16 ? c->in.N : 16;
    const int channels = (c->in.C + 31) / 32 * 32;
    return (long)filters * c->R * c->S * channels * 8 * images +
           (long)c->in.N * c->out_H * c->out_W;
}

static void test_rows_are_those_of_the_reference_and_others_stay(void **state)
{
    (void)state;
    static const int rows[] = {0, 1, 3, 15, 2, 8, 64};
    for (int i = 0; i < SHAPES_COUNT; i++)
        for (size_t j = 0; j < sizeof rows / sizeof *rows; j++)
            if (!IS_EMULATED || fibers_of(&SHAPES[i], rows[j]) <= FIBERS_MOST)
                check_rows(&SHAPES[i], rows[j]);
}

static void test_a_nan_in_either_input_reaches_the_gradient(void **state)
{
    (void)state;
    const ex_conv_shape *c = &SHAPES[0]; /* 16 channels in one block */
    const size_t maps = map_floats(3, 16, 8, 8);
    float *x = random_floats(maps, 1), *dy = random_floats(maps, 2), dw[16 * 9 * 16], dsum[16];
    float *scratch = ex_guard_floats(k->conv_rows_scratch(c, 1));
    const int32_t row = 3;
    x[5 * 16 + 2] = NAN; /* pixel 5, channel 2 */
    k->conv_rows_bwd(dw, dsum, x, dy, &row, 1, c, scratch, threads_stream(1));
    assert_true(isnan(dw[3 * 144 + 4 * 16 + 2]));
    assert_true(!isnan(dw[3 * 144 + 4 * 16 + 1]));
    x[5 * 16 + 2] = 1.0f;
    dy[9 * 16 + 3] = NAN;
    k->conv_rows_bwd(dw, dsum, x, dy, &row, 1, c, scratch, threads_stream(1));
    assert_true(isnan(dw[3 * 144 + 4 * 16 + 7]));
    assert_true(isnan(dsum[3]));
    ex_guard_free(x), ex_guard_free(dy), ex_guard_free(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_those_of_the_reference_and_others_stay),
        cmocka_unit_test(test_a_nan_in_either_input_reaches_the_gradient),
    };
    return run_kernel_tests(tests);
}
