#include "base/rng.h"
#include "test.h"

#include <math.h>
#include <string.h>

/* Known answer of Random123's own test vectors (kat_vectors: philox4x32 10 rounds, all zero). */
static void test_philox_known_answer(void **state)
{
    (void)state;
    ex_rng r = ex_rng_at((ex_rng_key){0});
    static const uint32_t expected[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    for (int i = 0; i < 4; i++)
        assert_int_equal(ex_rng_u32(&r), expected[i]);
}

static void test_streams_of_different_coordinates_differ(void **state)
{
    (void)state;
    const ex_rng_key base = {.seed = 7, .use = EX_RNG_TEST, .client = 1, .round = 2, .epoch = 3};
    ex_rng_key keys[6] = {base, base, base, base, base, base};
    keys[1].seed++, keys[2].use = EX_RNG_SHUFFLE, keys[3].client++, keys[4].round++;
    keys[5].epoch++;
    uint32_t first[6];
    for (int i = 0; i < 6; i++) {
        ex_rng r = ex_rng_at(keys[i]);
        first[i] = ex_rng_u32(&r);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(first[i], first[j]);
    }
}

static void test_shuffle_is_a_permutation(void **state)
{
    (void)state;
    enum { N = 1000 };
    uint32_t values[N], seen[N] = {0};
    for (uint32_t i = 0; i < N; i++)
        values[i] = i;
    ex_rng r = ex_rng_at((ex_rng_key){.seed = 3, .use = EX_RNG_TEST});
    ex_rng_shuffle(&r, values, N);
    int moved = 0;
    for (uint32_t i = 0; i < N; i++) {
        seen[values[i]]++;
        moved += values[i] != i;
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(seen[i], 1);
    assert_true(moved > N * 9 / 10);
}

static void test_gamma_has_mean_and_variance_of_its_shape(void **state)
{
    (void)state;
    static const double shapes[] = {0.1, 0.5, 1.0, 5.0};
    enum { N = 200000 };
    for (int s = 0; s < 4; s++) {
        ex_rng r = ex_rng_at((ex_rng_key){.seed = 11, .use = EX_RNG_TEST, .step = (uint32_t)s});
        double sum = 0, squares = 0;
        for (int i = 0; i < N; i++) {
            const double x = ex_rng_gamma(&r, shapes[s]);
            sum += x, squares += x * x;
        }
        const double mean = sum / N, variance = squares / N - mean * mean;
        assert_true(fabs(mean - shapes[s]) < 6 * sqrt(shapes[s] / N));
        assert_true(fabs(variance - shapes[s]) < 0.1 * shapes[s]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_known_answer),
        cmocka_unit_test(test_streams_of_different_coordinates_differ),
        cmocka_unit_test(test_shuffle_is_a_permutation),
        cmocka_unit_test(test_gamma_has_mean_and_variance_of_its_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
