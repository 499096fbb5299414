#include "test_kernels.h"

typedef struct pool_case {
    ex_map_shape in;
    int R, S, stride, pad;
} pool_case;

/* Windows that touch, overlap, leave gaps and cover the whole map; odd maps, of which rows are left
 * over; layouts. The last ones are padded, which averages are not. */
static const pool_case CASES[] = {
    {{2, 3, 8, 8, 1}, 2, 2, 2, 0},   {{2, 16, 8, 8, 16}, 2, 2, 2, 0},
    {{2, 32, 8, 8, 16}, 2, 2, 2, 0}, {{3, 64, 8, 8, 64}, 8, 8, 1, 0},
    {{2, 5, 7, 9, 5}, 2, 2, 2, 0},   {{1, 6, 9, 7, 2}, 3, 2, 1, 0},
    {{1, 4, 9, 9, 4}, 2, 2, 3, 0},   {{1, 1, 1, 1, 1}, 1, 1, 1, 0},
    {{0, 4, 4, 4, 4}, 2, 2, 2, 0},   {{17, 16, 32, 32, 16}, 2, 2, 2, 0},
    {{2, 31, 5, 3, 31}, 2, 2, 2, 0}, {{2, 33, 4, 4, 33}, 2, 2, 2, 0},
    {{1, 33, 3, 5, 1}, 3, 3, 1, 0},  {{33, 1, 2, 3, 1}, 2, 2, 1, 0},
    {{1, 1, 33, 31, 1}, 1, 1, 1, 0}, {{1, 1023, 2, 2, 1023}, 2, 2, 2, 0},
    {{5, 8, 33, 31, 1}, 3, 3, 2, 0}, {{2, 8, 6, 6, 8}, 3, 3, 2, 1},
    {{2, 3, 5, 5, 1}, 3, 3, 3, 2},   {{1, 4, 7, 5, 4}, 5, 3, 1, 1},
};
enum { CASES_COUNT = sizeof CASES / sizeof *CASES, AVERAGES_COUNT = CASES_COUNT - 3 };

static ex_pool_shape shape_of(const pool_case *c)
{
    return (ex_pool_shape){.in = c->in,
                           .out_H = (c->in.H + 2 * c->pad - c->R) / c->stride + 1,
                           .out_W = (c->in.W + 2 * c->pad - c->S) / c->stride + 1,
                           .R = c->R,
                           .S = c->S,
                           .stride = c->stride,
                           .pad = c->pad};
}

static size_t in_size(const ex_pool_shape *p)
{
    return (size_t)(p->in.N * p->in.C * p->in.H * p->in.W);
}

static size_t out_size(const ex_pool_shape *p)
{
    return (size_t)(p->in.N * p->in.C * p->out_H * p->out_W);
}

/* n bytes between guards. */
static int8_t *guarded_bytes(size_t n)
{
    return (int8_t *)ex_guard_floats((n + 3) / 4);
}

static void check_bytes(const int8_t *bytes, size_t n)
{
    ex_guard_check((const float *)(const void *)bytes, (n + 3) / 4);
}

static void free_bytes(int8_t *bytes)
{
    ex_guard_free((float *)(void *)bytes);
}

/* Values of few kinds, so that windows hold equals; and some NaN. */
static float *crowded_floats(size_t n)
{
    float *values = random_floats(n, 3);
    for (size_t i = 0; i < n; i++)
        values[i] = i % 29 == 7 ? NAN : floorf(2.0f * values[i]);
    return values;
}

static void check_max(const pool_case *c, float *x)
{
    const ex_pool_shape p = shape_of(c);
    const size_t nx = in_size(&p), ny = out_size(&p);
    float *dy = random_floats(ny, 2), *y = ex_guard_floats(ny), *dx = ex_guard_floats(nx);
    float *expected_y = ex_guard_floats(ny), *expected_dx = ex_guard_floats(nx);
    int8_t *index = guarded_bytes(ny), *expected_index = guarded_bytes(ny);
    ex_maxpool_fwd_ref(expected_y, expected_index, x, &p);
    ex_maxpool_bwd_ref(expected_dx, dy, expected_index, &p);
    for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
        poison(y, ny), poison(dx, nx);
        k->maxpool_fwd(y, NULL, x, &p, threads_stream(KERNEL_THREADS[t]));
        assert_same_floats(y, expected_y, ny);
        poison(y, ny);
        k->maxpool_fwd(y, index, x, &p, threads_stream(KERNEL_THREADS[t]));
        assert_same_floats(y, expected_y, ny);
        assert_memory_equal(index, expected_index, ny);
        check_bytes(index, ny);
        k->maxpool_bwd(dx, dy, index, &p, threads_stream(KERNEL_THREADS[t]));
        assert_same_floats(dx, expected_dx, nx);
    }
    free_bytes(index), free_bytes(expected_index);
    ex_guard_free(dy), ex_guard_free(y), ex_guard_free(dx);
    ex_guard_free(expected_y), ex_guard_free(expected_dx), ex_guard_free(x);
}

static void test_max_pool_and_gradient_as_the_reference(void **state)
{
    (void)state;
    for (int i = 0; i < CASES_COUNT; i++) {
        const ex_pool_shape p = shape_of(CASES + i);
        check_max(CASES + i, random_floats(in_size(&p), 1));
        check_max(CASES + i, crowded_floats(in_size(&p)));
    }
}

static void test_average_pool_and_gradient_as_the_reference(void **state)
{
    (void)state;
    for (int i = 0; i < AVERAGES_COUNT; i++) {
        const ex_pool_shape p = shape_of(CASES + i);
        const size_t nx = in_size(&p), ny = out_size(&p);
        float *x = random_floats(nx, 1), *dy = random_floats(ny, 2);
        float *y = ex_guard_floats(ny), *dx = ex_guard_floats(nx);
        float *expected_y = ex_guard_floats(ny), *expected_dx = ex_guard_floats(nx);
        ex_avgpool_fwd_ref(expected_y, x, &p);
        ex_avgpool_bwd_ref(expected_dx, dy, &p);
        for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
            poison(y, ny), poison(dx, nx);
            k->avgpool_fwd(y, x, &p, threads_stream(KERNEL_THREADS[t]));
            assert_same_floats(y, expected_y, ny);
            k->avgpool_bwd(dx, dy, &p, threads_stream(KERNEL_THREADS[t]));
            assert_same_floats(dx, expected_dx, nx);
        }
        ex_guard_free(x), ex_guard_free(dy), ex_guard_free(y), ex_guard_free(dx);
        ex_guard_free(expected_y), ex_guard_free(expected_dx);
    }
}

static void test_pools_at_any_alignment(void **state)
{
    (void)state;
    const pool_case c = {{2, 16, 7, 8, 16}, 2, 2, 2, 0};
    const ex_pool_shape p = shape_of(&c);
    const size_t nx = in_size(&p), ny = out_size(&p);
    int8_t *index = guarded_bytes(ny + 4);
    for (size_t i = 0; i < 16; i++) {
        const size_t shift_x = i % 4, shift_y = i / 4;
        float *x = shifted_floats(nx, shift_x, 1), *y = shifted_output(ny, shift_y);
        float *dx = shifted_output(nx, shift_x);
        float *expected_y = ex_guard_floats(ny), *expected_dx = ex_guard_floats(nx);
        ex_maxpool_fwd_ref(expected_y, index, x, &p);
        ex_maxpool_bwd_ref(expected_dx, expected_y, index, &p);
        k->maxpool_fwd(y, index + shift_x, x, &p, threads_stream(1));
        assert_same_shifted(y, shift_y, expected_y, ny);
        k->maxpool_bwd(dx, y, index + shift_x, &p, threads_stream(1));
        assert_same_shifted(dx, shift_x, expected_dx, nx);
        check_bytes(index, ny + 4);
        free_shifted(x, shift_x), free_shifted(y, shift_y), free_shifted(dx, shift_x);
        ex_guard_free(expected_y), ex_guard_free(expected_dx);
    }
    free_bytes(index);
}

/* A case small enough to read: windows of 2 x 2, the last column is left over. */
static void test_pools_of_a_small_map_by_hand(void **state)
{
    (void)state;
    const ex_pool_shape p = {
        .in = {1, 1, 2, 5, 1}, .out_H = 1, .out_W = 2, .R = 2, .S = 2, .stride = 2};
    static const float x[10] = {1, 5, 2, 2, 9, 3, 4, -1, 2, 9}, dy[2] = {10, 20};
    static const float largest[2] = {5, 2}, mean[2] = {3.25f, 1.25f};
    static const float to_largest[10] = {0, 10, 20, 0, 0, 0, 0, 0, 0, 0};
    static const float to_mean[10] = {2.5f, 2.5f, 5, 5, 0, 2.5f, 2.5f, 5, 5, 0};
    float *y = ex_guard_floats(2), *dx = ex_guard_floats(10);
    int8_t *index = guarded_bytes(2);
    k->maxpool_fwd(y, index, x, &p, threads_stream(1));
    assert_same_floats(y, largest, 2);
    assert_int_equal(index[0], 1);
    assert_int_equal(index[1], 0);
    k->maxpool_bwd(dx, dy, index, &p, threads_stream(1));
    assert_same_floats(dx, to_largest, 10);
    k->avgpool_fwd(y, x, &p, threads_stream(1));
    assert_same_floats(y, mean, 2);
    k->avgpool_bwd(dx, dy, &p, threads_stream(1));
    assert_same_floats(dx, to_mean, 10);
    ex_guard_free(y), ex_guard_free(dx), free_bytes(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_max_pool_and_gradient_as_the_reference),
        cmocka_unit_test(test_average_pool_and_gradient_as_the_reference),
        cmocka_unit_test(test_pools_at_any_alignment),
        cmocka_unit_test(test_pools_of_a_small_map_by_hand),
    };
    return run_kernel_tests(tests);
}
