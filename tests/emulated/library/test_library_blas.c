/* Matrix products against their definition in float64: of the emulated library, and of blas_lt.c on
 * a cuBLASLt of plain loops (lt_fake.c), and on a GPU on copies of the operands (EX_TEST_MIRRORED).
 */
#include "test.h"

#include "base/memory.h"
#include "base/rng.h"
#include "cuda/blas.h"

#if defined(EX_TEST_MIRRORED)
#include "mirror.h"
#endif

#include <math.h>
#include <stdlib.h>

enum { WORKSPACE = 4096, ROWS_MAX = 8 };

static const struct {
    int N, C, K;
} SHAPES[] = {{1, 1, 1}, {5, 64, 10}, {8, 37, 13}, {3, 512, 100}};
enum { SHAPE_COUNT = sizeof SHAPES / sizeof *SHAPES };

static float *random_floats(size_t n, uint64_t seed)
{
    float *values = malloc(n * sizeof *values);
    assert_non_null(values);
    ex_rng r = ex_rng_at((ex_rng_key){.seed = seed, .use = EX_RNG_TEST});
    for (size_t i = 0; i < n; i++)
        values[i] = 2.0f * ex_rng_uniform(&r) - 1.0f;
    return values;
}

static const float ONES[ROWS_MAX] = {1, 1, 1, 1, 1, 1, 1, 1};

#if defined(EX_TEST_MIRRORED)
static float *copy_in(mirror *m, const float *host, int rows, int columns)
{
    return mirror_in(m, host, (size_t)rows * (size_t)columns * sizeof *host);
}

static float *copy_out(mirror *m, float *host, int rows, int columns)
{
    return mirror_out(m, host, (size_t)rows * (size_t)columns * sizeof *host);
}

static void run(const ex_blas_product *p, float *out, const float *a, const float *b, float *bias)
{
    static char workspace[WORKSPACE];
    const int N = p->N, C = p->C, K = p->K;
    const bool forward = p->kind == EX_BLAS_FWD, weights = p->kind == EX_BLAS_WGRAD;
    ex_blas_handle *handle = NULL;
    ex_blas_plan *plan = NULL;
    mirror m = mirror_begin((ex_stream){.threads = 1});
    float *const to = forward                  ? copy_out(&m, out, N, K)
                      : weights                ? copy_out(&m, out, K, C)
                      : p->kind == EX_BLAS_SUM ? copy_out(&m, out, 1, K)
                                               : copy_out(&m, out, N, C);
    const float *const first = forward ? copy_in(&m, a, N, C) : copy_in(&m, a, N, K);
    const float *const second = weights ? copy_in(&m, b, N, C) : copy_in(&m, b, K, C);
    float *const sum = weights ? copy_out(&m, bias, 1, K) : copy_in(&m, bias, 1, K);
    assert_ok(ex_blas_handle_create(&handle, m.stream.queue));
    assert_ok(ex_blas_plan_create(&plan, handle, p, sizeof workspace));
    const ex_blas_operands o = {.out = to,
                                .a = first,
                                .b = second,
                                .bias = sum,
                                .ones = copy_in(&m, ONES, 1, N),
                                .workspace = mirror_out(&m, workspace, sizeof workspace)};
    assert_true(N <= ROWS_MAX);
    assert_ok(ex_blas_plan_run(plan, &o));
    mirror_end(&m, "a product");
    ex_blas_plan_destroy(&plan);
    ex_blas_handle_destroy(&handle);
}
#else
/* Runs a product into guarded `out` of n floats. */
static void run(const ex_blas_product *p, float *out, const float *a, const float *b, float *bias)
{
    static char workspace[WORKSPACE];
    ex_blas_handle *handle = NULL;
    ex_blas_plan *plan = NULL;
    assert_ok(ex_blas_handle_create(&handle, NULL));
    assert_ok(ex_blas_plan_create(&plan, handle, p, sizeof workspace));
    const ex_blas_operands o = {
        .out = out, .a = a, .b = b, .bias = bias, .ones = ONES, .workspace = workspace};
    assert_true(p->N <= ROWS_MAX);
    assert_ok(ex_blas_plan_run(plan, &o));
    ex_blas_plan_destroy(&plan);
    assert_null(plan);
    ex_blas_handle_destroy(&handle);
    assert_null(handle);
}
#endif

static void check_forward(int N, int C, int K)
{
    const ex_blas_product p = {.kind = EX_BLAS_FWD, .N = N, .C = C, .K = K};
    const size_t n = (size_t)N * (size_t)K;
    float *x = random_floats((size_t)N * (size_t)C, 1),
          *w = random_floats((size_t)K * (size_t)C, 2);
    float *b = random_floats((size_t)K, 3), *y = ex_guard_floats(n);
    float *expected = malloc(n * sizeof *expected);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < K; k++) {
            double sum = (double)b[k];
            for (int c = 0; c < C; c++)
                sum += (double)x[i * C + c] * (double)w[k * C + c];
            expected[i * K + k] = (float)sum;
        }
    run(&p, y, x, w, b);
    assert_close(y, expected, n, 1e-5, 1e-5);
    ex_guard_check(y, n);
    ex_guard_free(y);
    free(expected);
    free(b);
    free(w);
    free(x);
}

static void test_forward_is_the_product_with_bias(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPE_COUNT; i++)
        check_forward(SHAPES[i].N, SHAPES[i].C, SHAPES[i].K);
}

/* In each product, what a NaN of either operand reaches is one, and nothing else is. */
static void test_a_nan_stays_one(void **state)
{
    (void)state;
    enum { N = 3, C = 8, K = 4 };
    static const ex_blas_kind KINDS[] = {EX_BLAS_FWD, EX_BLAS_DGRAD, EX_BLAS_WGRAD};
    for (int kind = 0; kind < 3; kind++)
        for (int side = 0; side < 2; side++) {
            const ex_blas_product p = {.kind = KINDS[kind], .N = N, .C = C, .K = K};
            float *a = random_floats(N * C, 7), *b = random_floats(K * C, 8);
            float bias[K] = {1, 2, 3, 4}, out[K * C + N * C];
            (side ? b : a)[0] = NAN;
            run(&p, out, a, b, bias);
            int found = 0;
            const int n = kind == 0 ? N * K : kind == 1 ? N * C : K * C;
            for (int i = 0; i < n; i++)
                found += isnan(out[i]);
            /* a[0] reaches a row of y or of dx, or a row of dw; b[0] a column of each */
            static const int REACHED[3][2] = {{K, N}, {C, N}, {C, K}};
            assert_int_equal(found, REACHED[kind][side]);
            free(b);
            free(a);
        }
}

static void check_gradients(int N, int C, int K)
{
    const ex_blas_product data = {.kind = EX_BLAS_DGRAD, .N = N, .C = C, .K = K};
    const ex_blas_product weight = {.kind = EX_BLAS_WGRAD, .N = N, .C = C, .K = K};
    const ex_blas_product sum = {.kind = EX_BLAS_SUM, .N = N, .K = K};
    const size_t nc = (size_t)N * (size_t)C, kc = (size_t)K * (size_t)C;
    float *x = random_floats(nc, 4), *w = random_floats(kc, 5);
    float *dy = random_floats((size_t)N * (size_t)K, 6);
    float *dx = ex_guard_floats(nc), *dw = ex_guard_floats(kc), *db = ex_guard_floats((size_t)K);
    float *alone = ex_guard_floats((size_t)K);
    double *sums = calloc(nc + kc + (size_t)K, sizeof *sums);
    float *expected = malloc((nc + kc + (size_t)K) * sizeof *expected);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < K; k++) {
            const double g = (double)dy[i * K + k];
            for (int c = 0; c < C; c++) {
                sums[i * C + c] += g * (double)w[k * C + c];
                sums[nc + (size_t)(k * C + c)] += g * (double)x[i * C + c];
            }
            sums[nc + kc + (size_t)k] += g;
        }
    for (size_t i = 0; i < nc + kc + (size_t)K; i++)
        expected[i] = (float)sums[i];
    run(&data, dx, dy, w, NULL);
    run(&weight, dw, dy, x, db);
    run(&sum, alone, dy, NULL, NULL);
    assert_close(dx, expected, nc, 1e-5, 1e-5);
    assert_close(dw, expected + nc, kc, 1e-5, 1e-5);
    assert_close(db, expected + nc + kc, (size_t)K, 1e-5, 1e-5);
    assert_close(alone, expected + nc + kc, (size_t)K, 1e-5, 1e-5);
    ex_guard_check(alone, (size_t)K);
    ex_guard_free(alone);
    ex_guard_check(dx, nc);
    ex_guard_check(dw, kc);
    ex_guard_check(db, (size_t)K);
    ex_guard_free(dx);
    ex_guard_free(dw);
    ex_guard_free(db);
    free(expected);
    free(sums);
    free(dy);
    free(w);
    free(x);
}

static void test_gradients_are_those_of_the_product(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPE_COUNT; i++)
        check_gradients(SHAPES[i].N, SHAPES[i].C, SHAPES[i].K);
}

static void test_a_missing_operand_is_refused(void **state)
{
    (void)state;
    const ex_blas_product p = {.kind = EX_BLAS_WGRAD, .N = 1, .C = 1, .K = 1};
    float out[1], a[1] = {1}, b[1] = {1};
    const ex_blas_operands no_bias = {.out = out, .a = a, .b = b, .ones = b};
    const ex_blas_operands no_ones = {.out = out, .a = a, .b = b, .bias = out};
    ex_blas_handle *handle = NULL;
    ex_blas_plan *plan = NULL;
    assert_ok(ex_blas_handle_create(&handle, NULL));
    assert_ok(ex_blas_plan_create(&plan, handle, &p, 0));
    assert_status(ex_blas_plan_run(plan, &no_bias), EX_ERR_INTERNAL);
    assert_status(ex_blas_plan_run(plan, &no_ones), EX_ERR_INTERNAL);
    ex_blas_plan_destroy(&plan);
    ex_blas_handle_destroy(&handle);
}

int main(void)
{
#if defined(EX_TEST_MIRRORED)
    if (!mirror_open())
        return 77;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_is_the_product_with_bias),
        cmocka_unit_test(test_a_nan_stays_one),
        cmocka_unit_test(test_gradients_are_those_of_the_product),
        cmocka_unit_test(test_a_missing_operand_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
