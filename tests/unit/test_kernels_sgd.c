#include "test_kernels.h"

enum { SEGMENTS = 9, SIZE = 150000 };

/* Short and long runs, neighbours, an empty one, and gaps in between; about 141,000 elements. */
static const ex_segment LIST[SEGMENTS] = {{1, 1},       {2, 7},         {40, 0},
                                          {41, 31},     {100, 32},      {132, 33},
                                          {1000, 1023}, {5000, 140001}, {SIZE - 1, 1}};

typedef struct vectors {
    float *params, *velocity, *grads;
} vectors;

static vectors make_vectors(void)
{
    return (vectors){random_floats(SIZE, 1), random_floats(SIZE, 2), random_floats(SIZE, 3)};
}

static void free_vectors(vectors *v)
{
    ex_guard_free(v->params), ex_guard_free(v->velocity), ex_guard_free(v->grads);
}

static bool inside(size_t at)
{
    for (int i = 0; i < SEGMENTS; i++)
        if (at >= LIST[i].offset && at < LIST[i].offset + LIST[i].length)
            return true;
    return false;
}

/* Several steps against the reference; elements outside the segments hold NaN and must not leak in.
 */
static void check_sgd(ex_sgd_coeff c)
{
    for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
        vectors actual = make_vectors(), expected = make_vectors();
        for (size_t i = 0; i < SIZE; i++)
            if (!inside(i)) {
                actual.grads[i] = expected.grads[i] = NAN;
                actual.velocity[i] = expected.velocity[i] = NAN;
            }
        for (int step = 0; step < 3; step++) {
            k->sgd_segments(actual.params, actual.velocity, actual.grads, LIST, SEGMENTS, c,
                            threads_stream(KERNEL_THREADS[t]));
            ex_sgd_segments_ref(expected.params, expected.velocity, expected.grads, LIST, SEGMENTS,
                                c);
        }
        assert_same_floats(actual.params, expected.params, SIZE);
        assert_same_floats(actual.velocity, expected.velocity, SIZE);
        assert_same_floats(actual.grads, expected.grads, SIZE);
        free_vectors(&actual), free_vectors(&expected);
    }
}

static void test_sgd_equals_the_reference(void **state)
{
    (void)state;
    static const ex_sgd_coeff coeffs[] = {
        {.lr = 0.1f},
        {.lr = 0.1f, .momentum = 0.9f},
        {.lr = 0.1f, .momentum = 0.9f, .weight_decay = 5e-4f},
        {.lr = 0.01f, .momentum = 0.9f, .weight_decay = 5e-4f, .nesterov = 1}};
    for (size_t i = 0; i < sizeof coeffs / sizeof *coeffs; i++)
        check_sgd(coeffs[i]);
}

/* `count` segments of 0 to 8 elements with gaps of 0 to 2, vectors at one alignment each. */
static void check_short_segments(size_t count, size_t shift)
{
    const ex_sgd_coeff c = {.lr = 0.1f, .momentum = 0.9f, .weight_decay = 5e-4f};
    ex_segment *list = calloc(count + 1, sizeof *list);
    assert_non_null(list);
    size_t size = 1;
    for (size_t i = 0; i < count; size = list[i].offset + list[i].length, i++)
        list[i] = (ex_segment){size + i % 7 % 3, i * 5 % 9};
    float *grads = random_floats(size, 3), *params = shifted_floats(size, shift, 1);
    float *velocity = random_floats(size, 2), *expected_velocity = copied_floats(velocity, size);
    float *expected = copied_floats(params, size);
    ex_sgd_segments_ref(expected, expected_velocity, grads, list, count, c);
    k->sgd_segments(params, velocity, grads, list, count, c, threads_stream(2));
    assert_same_floats(velocity, expected_velocity, size);
    assert_memory_equal(params, expected, size * sizeof *params);
    ex_guard_check(params - shift, size + shift);
    ex_guard_free(grads), ex_guard_free(velocity), ex_guard_free(expected_velocity);
    ex_guard_free(expected), free_shifted(params, shift), free(list);
}

static void test_sgd_of_many_short_segments_equals_the_reference(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 31, 32, 33, 1023, 1024, 1025, 2500};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (size_t shift = 0; shift < 4; shift++)
            check_short_segments(counts[i], shift);
}

/* One parameter by hand: exact in float32. */
static void test_sgd_step_is_the_formula(void **state)
{
    (void)state;
    const ex_segment one = {0, 1};
    const ex_sgd_coeff c = {.lr = 0.5f, .momentum = 0.5f, .weight_decay = 0.25f};
    ex_sgd_coeff nesterov = c;
    nesterov.nesterov = 1;
    float p = 4.0f, v = 2.0f, g = 3.0f; /* g' = 3 + 1 = 4, v = 1 + 4 = 5, p = 4 - 2.5 */
    k->sgd_segments(&p, &v, &g, &one, 1, c, threads_stream(1));
    assert_true(p == 1.5f && v == 5.0f && g == 3.0f);
    p = 4.0f, v = 2.0f; /* p = 4 - 0.5 * (4 + 2.5) */
    k->sgd_segments(&p, &v, &g, &one, 1, nesterov, threads_stream(1));
    assert_true(p == 0.75f && v == 5.0f);
}

static void test_sgd_leaves_bytes_outside_the_segments(void **state)
{
    (void)state;
    const ex_sgd_coeff c = {.lr = 0.1f, .momentum = 0.9f, .weight_decay = 0.1f};
    for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
        vectors v = make_vectors(), before = make_vectors();
        k->sgd_segments(v.params, v.velocity, v.grads, LIST, SEGMENTS, c,
                        threads_stream(KERNEL_THREADS[t]));
        for (size_t i = 0; i < SIZE; i++) {
            const int same_param = memcmp(v.params + i, before.params + i, sizeof(float)) == 0;
            const int same_velocity =
                memcmp(v.velocity + i, before.velocity + i, sizeof(float)) == 0;
            assert_true(inside(i) ? !same_velocity : same_param && same_velocity);
        }
        free_vectors(&v), free_vectors(&before);
    }
}

static void test_sgd_of_no_segments_does_nothing(void **state)
{
    (void)state;
    const ex_segment empty = {5, 0};
    k->sgd_segments(NULL, NULL, NULL, NULL, 0, (ex_sgd_coeff){.lr = 1.0f}, threads_stream(2));
    k->sgd_segments(NULL, NULL, NULL, &empty, 1, (ex_sgd_coeff){.lr = 1.0f}, threads_stream(2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sgd_equals_the_reference),
        cmocka_unit_test(test_sgd_of_many_short_segments_equals_the_reference),
        cmocka_unit_test(test_sgd_step_is_the_formula),
        cmocka_unit_test(test_sgd_leaves_bytes_outside_the_segments),
        cmocka_unit_test(test_sgd_of_no_segments_does_nothing),
    };
    return run_kernel_tests(tests);
}
