#include "test_kernels.h"

typedef struct shortcut_case {
    ex_map_shape in;
    int K, out_block, stride;
} shortcut_case;

/* Both layouts vary alone; K - C even, odd and 0; odd and even maps; large ones use threads. */
static const shortcut_case CASES[] = {
    {{2, 16, 8, 8, 1}, 32, 1, 2},
    {{2, 16, 8, 8, 16}, 32, 16, 2},
    {{2, 16, 8, 8, 16}, 32, 32, 2},
    {{2, 32, 8, 8, 32}, 64, 64, 2},
    {{2, 32, 8, 8, 32}, 64, 1, 2},
    {{2, 32, 8, 8, 1}, 64, 64, 2},
    {{2, 32, 9, 7, 8}, 48, 16, 2},
    {{2, 48, 7, 9, 16}, 64, 8, 2},
    {{3, 3, 7, 5, 1}, 8, 1, 2},
    {{3, 3, 7, 5, 3}, 8, 8, 2},
    {{3, 3, 7, 5, 3}, 8, 1, 2},
    {{3, 3, 7, 5, 1}, 8, 4, 2},
    {{1, 1, 1, 1, 1}, 1, 1, 2},
    {{1, 1, 1, 1, 1}, 4, 4, 2},
    {{2, 5, 33, 31, 5}, 5, 5, 2},
    {{2, 5, 32, 3, 5}, 16, 16, 1},
    {{2, 16, 5, 5, 16}, 32, 16, 1},
    {{2, 16, 5, 5, 1}, 17, 1, 1},
    {{0, 16, 8, 8, 16}, 32, 16, 2},
    {{2, 16, 0, 8, 16}, 32, 16, 2},
    {{2, 16, 8, 8, 16}, 20, 20, 2},
    {{2, 16, 8, 8, 4}, 22, 2, 2},
    {{2, 8, 5, 8, 4}, 20, 4, 1},
    {{17, 16, 32, 32, 16}, 32, 16, 2},
    {{17, 16, 31, 33, 1}, 35, 1, 2},
    {{2, 31, 3, 3, 31}, 33, 33, 2},
    {{1, 33, 5, 3, 33}, 64, 64, 2},
    {{1, 31, 4, 4, 1}, 32, 1, 1},
    {{33, 1, 1, 1, 1}, 31, 31, 1},
    {{1, 1, 33, 31, 1}, 1, 1, 1},
    {{1, 1023, 1, 1, 1023}, 1023, 1023, 1},
};
enum { CASES_COUNT = sizeof CASES / sizeof *CASES };

static size_t in_size(const shortcut_case *c)
{
    return (size_t)(c->in.N * c->in.C * c->in.H * c->in.W);
}

static size_t out_size(const shortcut_case *c)
{
    return (size_t)(c->in.N * c->K * ((c->in.H + c->stride - 1) / c->stride) *
                    ((c->in.W + c->stride - 1) / c->stride));
}

static void forward(float *out, const float *in, const shortcut_case *c, int threads)
{
    k->shortcut_a_fwd(out, in, &c->in, c->K, c->out_block, c->stride, threads_stream(threads));
}

static void backward(float *din, const float *dout, const shortcut_case *c, int threads)
{
    k->shortcut_a_bwd(din, dout, &c->in, c->K, c->out_block, c->stride, threads_stream(threads));
}

static void test_shortcut_overwrites_as_the_reference(void **state)
{
    (void)state;
    for (int i = 0; i < CASES_COUNT; i++) {
        const shortcut_case *c = CASES + i;
        const size_t n = out_size(c);
        float *in = random_floats(in_size(c), 1), *out = ex_guard_floats(n);
        float *expected = ex_guard_floats(n);
        ex_shortcut_a_fwd_ref(expected, in, &c->in, c->K, c->out_block, c->stride);
        for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
            poison(out, n);
            forward(out, in, c, KERNEL_THREADS[t]);
            assert_same_floats(out, expected, n);
        }
        ex_guard_free(in), ex_guard_free(out), ex_guard_free(expected);
    }
}

static void test_shortcut_gradient_adds_as_the_reference(void **state)
{
    (void)state;
    for (int i = 0; i < CASES_COUNT; i++) {
        const shortcut_case *c = CASES + i;
        const size_t n = in_size(c);
        float *dout = random_floats(out_size(c), 1), *before = random_floats(n, 2);
        float *expected = copied_floats(before, n);
        ex_shortcut_a_bwd_ref(expected, dout, &c->in, c->K, c->out_block, c->stride);
        for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
            float *din = copied_floats(before, n);
            backward(din, dout, c, KERNEL_THREADS[t]);
            assert_same_floats(din, expected, n);
            ex_guard_free(din);
        }
        ex_guard_free(dout), ex_guard_free(before), ex_guard_free(expected);
    }
}

static void test_shortcut_and_gradient_at_any_alignment(void **state)
{
    (void)state;
    const shortcut_case c = {{2, 16, 7, 8, 16}, 32, 32, 2};
    const size_t nx = in_size(&c), ny = out_size(&c);
    for (size_t i = 0; i < 16; i++) {
        const size_t shift_x = i % 4, shift_y = i / 4;
        float *x = shifted_floats(nx, shift_x, 1), *y = shifted_output(ny, shift_y);
        float *expected_x = copied_floats(x, nx), *expected_y = ex_guard_floats(ny);
        ex_shortcut_a_fwd_ref(expected_y, x, &c.in, c.K, c.out_block, c.stride);
        forward(y, x, &c, 1);
        assert_same_shifted(y, shift_y, expected_y, ny);
        ex_shortcut_a_bwd_ref(expected_x, y, &c.in, c.K, c.out_block, c.stride);
        backward(x, y, &c, 1);
        assert_memory_equal(x, expected_x, nx * sizeof *x);
        ex_guard_check(x - shift_x, nx + shift_x);
        free_shifted(x, shift_x), free_shifted(y, shift_y);
        ex_guard_free(expected_x), ex_guard_free(expected_y);
    }
}

/* <A x, y> = <x, A' y>: the gradient is the transpose of the map. */
static void test_shortcut_gradient_is_the_adjoint(void **state)
{
    (void)state;
    for (int i = 0; i < CASES_COUNT; i++) {
        const shortcut_case *c = CASES + i;
        const size_t nx = in_size(c), ny = out_size(c);
        float *x = random_floats(nx, 1), *y = random_floats(ny, 2);
        float *ax = ex_guard_floats(ny), *aty = ex_guard_floats(nx);
        forward(ax, x, c, 1);
        memset(aty, 0, nx * sizeof *aty);
        backward(aty, y, c, 1);
        const double left = dot(ax, y, ny), right = dot(x, aty, nx);
        assert_true(fabs(left - right) <= 1e-9 * (1.0 + fabs(left)));
        ex_guard_free(x), ex_guard_free(y), ex_guard_free(ax), ex_guard_free(aty);
    }
}

/* A case small enough to read: C 1, K 4, so one channel of zeros, the image, two of zeros. */
static void test_shortcut_of_a_small_map_by_hand(void **state)
{
    (void)state;
    const ex_map_shape in_shape = {1, 1, 3, 3, 1};
    static const float in[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    static const float expected[16] = {0, 0, 0, 0, 1, 3, 7, 9, 0, 0, 0, 0, 0, 0, 0, 0};
    float *out = ex_guard_floats(16);
    k->shortcut_a_fwd(out, in, &in_shape, 4, 1, 2, threads_stream(1));
    assert_same_floats(out, expected, 16);
    ex_guard_free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shortcut_overwrites_as_the_reference),
        cmocka_unit_test(test_shortcut_gradient_adds_as_the_reference),
        cmocka_unit_test(test_shortcut_and_gradient_at_any_alignment),
        cmocka_unit_test(test_shortcut_gradient_is_the_adjoint),
        cmocka_unit_test(test_shortcut_of_a_small_map_by_hand),
    };
    return run_kernel_tests(tests);
}
