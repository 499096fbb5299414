#include "test_kernels.h"

typedef struct operands {
    float *a, *b, *y, *expected, *out;
} operands;

static operands make_operands(size_t n)
{
    operands o = {random_floats(n, 1), random_floats(n, 2), random_floats(n, 3), ex_guard_floats(n),
                  ex_guard_floats(n)};
    for (size_t i = 0; i < n; i += 5)
        o.y[i] = 0.0f; /* exactly at the kink */
    return o;
}

static void free_operands(operands *o)
{
    ex_guard_free(o->a), ex_guard_free(o->b), ex_guard_free(o->y);
    ex_guard_free(o->expected), ex_guard_free(o->out);
}

static void test_add_relu_equals_the_reference(void **state)
{
    (void)state;
    for (int i = 0; i < KERNEL_SIZES_COUNT; i++) {
        const size_t n = KERNEL_SIZES[i];
        operands o = make_operands(n);
        ex_add_relu_fwd_ref(o.expected, o.a, o.b, n);
        for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
            const ex_stream s = threads_stream(KERNEL_THREADS[t]);
            poison(o.out, n);
            k->add_relu_fwd(o.out, o.a, o.b, n, EX_MAP_F32, s);
            assert_same_floats(o.out, o.expected, n);
            memcpy(o.out, o.a, n * sizeof *o.out); /* in place, either side */
            k->add_relu_fwd(o.out, o.out, o.b, n, EX_MAP_F32, s);
            assert_same_floats(o.out, o.expected, n);
            memcpy(o.out, o.b, n * sizeof *o.out);
            k->add_relu_fwd(o.out, o.a, o.out, n, EX_MAP_F32, s);
            assert_same_floats(o.out, o.expected, n);
        }
        ex_add_relu_fwd_ref(o.expected, o.a, NULL, n);
        for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
            const ex_stream s = threads_stream(KERNEL_THREADS[t]);
            poison(o.out, n);
            k->add_relu_fwd(o.out, o.a, NULL, n, EX_MAP_F32, s);
            assert_same_floats(o.out, o.expected, n);
            memcpy(o.out, o.a, n * sizeof *o.out);
            k->add_relu_fwd(o.out, o.out, NULL, n, EX_MAP_F32, s);
            assert_same_floats(o.out, o.expected, n);
        }
        free_operands(&o);
    }
}

/* One of the four forms: with or without g2 and y. */
static void check_backward(size_t n, bool with_g2, bool with_y)
{
    operands o = make_operands(n);
    const float *g2 = with_g2 ? o.b : NULL, *y = with_y ? o.y : NULL;
    ex_add_relu_bwd_ref(o.expected, o.a, g2, y, n);
    for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
        const ex_stream s = threads_stream(KERNEL_THREADS[t]);
        poison(o.out, n);
        k->add_relu_bwd(o.out, o.a, g2, y, n, EX_MAP_F32, s);
        assert_same_floats(o.out, o.expected, n);
        memcpy(o.out, o.a, n * sizeof *o.out);
        k->add_relu_bwd(o.out, o.out, g2, y, n, EX_MAP_F32, s);
        assert_same_floats(o.out, o.expected, n);
        if (with_g2) {
            memcpy(o.out, o.b, n * sizeof *o.out);
            k->add_relu_bwd(o.out, o.a, o.out, y, n, EX_MAP_F32, s);
            assert_same_floats(o.out, o.expected, n);
        }
    }
    free_operands(&o);
}

static void test_add_relu_gradient_equals_the_reference(void **state)
{
    (void)state;
    for (int i = 0; i < KERNEL_SIZES_COUNT; i++)
        for (int form = 0; form < 4; form++)
            check_backward(KERNEL_SIZES[i], form & 1, form & 2);
}

static void check_alignment(size_t shift_out, size_t shift_a, size_t shift_b)
{
    const size_t n = 1023;
    float *a = shifted_floats(n, shift_a, 1), *b = shifted_floats(n, shift_b, 2);
    float *expected = ex_guard_floats(n), *out = shifted_output(n, shift_out);
    ex_add_relu_fwd_ref(expected, a, b, n);
    k->add_relu_fwd(out, a, b, n, EX_MAP_F32, threads_stream(1));
    assert_same_shifted(out, shift_out, expected, n);
    ex_add_relu_bwd_ref(expected, a, b, b, n);
    k->add_relu_bwd(out, a, b, b, n, EX_MAP_F32, threads_stream(1));
    assert_same_shifted(out, shift_out, expected, n);
    ex_add_relu_bwd_ref(expected, a, NULL, b, n);
    k->add_relu_bwd(out, a, NULL, b, n, EX_MAP_F32, threads_stream(1));
    assert_same_shifted(out, shift_out, expected, n);
    free_shifted(a, shift_a), free_shifted(b, shift_b), free_shifted(out, shift_out);
    ex_guard_free(expected);
}

static void test_add_relu_and_gradient_at_any_alignment(void **state)
{
    (void)state;
    for (size_t i = 0; i < 64; i++)
        check_alignment(i % 4, i / 4 % 4, i / 16);
}

static void test_add_relu_keeps_nan(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 33; n += 16) {
        operands o = make_operands(n);
        o.a[n - 1] = NAN;
        k->add_relu_fwd(o.out, o.a, o.b, n, EX_MAP_F32, threads_stream(1));
        assert_true(isnan(o.out[n - 1]));
        k->add_relu_fwd(o.out, o.a, NULL, n, EX_MAP_F32, threads_stream(1));
        assert_true(isnan(o.out[n - 1]));
        for (size_t i = 0; i + 1 < n; i++)
            assert_true(o.out[i] >= 0.0f);
        free_operands(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add_relu_equals_the_reference),
        cmocka_unit_test(test_add_relu_gradient_equals_the_reference),
        cmocka_unit_test(test_add_relu_and_gradient_at_any_alignment),
        cmocka_unit_test(test_add_relu_keeps_nan),
    };
    return run_kernel_tests(tests);
}
