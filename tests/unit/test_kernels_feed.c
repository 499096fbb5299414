#include "test_kernels.h"

enum { STEPS = 4, LARGEST = 1023 };

static const int batches[] = {0, 1, 7, 31, 32, 33, 255, 256, 257, 700, LARGEST};

typedef struct lists {
    uint32_t index[STEPS * LARGEST], index_out[LARGEST], index_expected[LARGEST];
    uint16_t label[STEPS * LARGEST], label_out[LARGEST], label_expected[LARGEST];
    int32_t predicted[LARGEST], log[STEPS * LARGEST], log_expected[STEPS * LARGEST];
} lists;

static void fill(lists *l)
{
    memset(l, 0x5a, sizeof *l);
    for (uint32_t i = 0; i < STEPS * LARGEST; i++) {
        l->index[i] = i * 2654435761u;
        l->label[i] = (uint16_t)(i * 40503u);
    }
    for (int32_t i = 0; i < LARGEST; i++)
        l->predicted[i] = 1000 - i;
}

/* Two steps from the sample that the state names: samples in, losses out, the state moves on. */
static void check(int N, int threads)
{
    static lists l;
    const size_t n = (size_t)N, all = STEPS * LARGEST;
    ex_feed_state state = {.at = (uint32_t)N, .words = {0xffffffffu, 5, 6}}, expected = state;
    float *loss = random_floats(n, 3), *log = ex_guard_floats(all),
          *reference = ex_guard_floats(all);
    fill(&l);
    poison(log, all), poison(reference, all);
    for (int step = 0; step < 2; step++) {
        const ex_stream s = threads_stream(threads);
        k->feed_next(l.index_out, l.label_out, &state, l.index, l.label, N, s);
        ex_feed_next_ref(l.index_expected, l.label_expected, &expected, l.index, l.label, N);
        assert_memory_equal(l.index_out, l.index_expected, sizeof l.index_out);
        assert_memory_equal(l.label_out, l.label_expected, sizeof l.label_out);
        k->feed_log(log, l.log, &state, loss, l.predicted, N, s);
        ex_feed_log_ref(reference, l.log_expected, &expected, loss, l.predicted, N);
        assert_memory_equal(&state, &expected, sizeof state);
    }
    assert_memory_equal(log, reference, all * sizeof *log);
    assert_memory_equal(l.log, l.log_expected, sizeof l.log);
    if (N > 0) { /* two of four steps were written, and no word but the first moved on */
        assert_true(isnan(log[0]) && log[n] == loss[0] && isnan(log[3 * n]));
        assert_int_equal(state.at, 3 * n);
        assert_int_equal(state.words[0], 1);
        assert_int_equal(state.words[1], 5);
    }
    ex_guard_check(log, all);
    ex_guard_free(loss), ex_guard_free(log), ex_guard_free(reference);
}

static void test_steps_are_fed_and_logged_in_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++)
        for (int t = 0; t < KERNEL_THREADS_COUNT; t++)
            check(batches[i], KERNEL_THREADS[t]);
}

/* A step of another size goes on where the one before it ended. */
static void test_a_feed_may_end_with_a_shorter_step(void **state)
{
    enum { N = 5, REST = 2 };
    (void)state;
    const uint32_t index[N + REST] = {10, 11, 12, 13, 14, 15, 16};
    const uint16_t label[N + REST] = {0, 1, 2, 3, 4, 5, 6};
    const float loss[N] = {1, 2, 3, 4, 5};
    const int32_t predicted[N] = {6, 7, 8, 9, 10};
    uint32_t index_out[N];
    uint16_t label_out[N];
    float log[N + REST];
    int32_t predicted_log[N + REST];
    ex_feed_state feed = {.words = {3, 0, 0}};
    const ex_stream s = threads_stream(1);
    for (int step = 0; step < 2; step++) {
        const int n = step ? REST : N;
        k->feed_next(index_out, label_out, &feed, index, label, n, s);
        k->feed_log(log, predicted_log, &feed, loss, predicted, n, s);
    }
    assert_int_equal(index_out[0], 15);
    assert_int_equal(label_out[REST - 1], 6);
    assert_true(log[N - 1] == 5 && log[N] == 1 && log[N + 1] == 2);
    assert_int_equal(predicted_log[N], 6);
    assert_int_equal(feed.at, N + REST);
    assert_int_equal(feed.words[0], 5);
}

/* A stream that is told by words of memory is the one with these words added. */
static void test_draws_follow_the_words_in_memory(void **state)
{
    (void)state;
    const ex_map_shape shape = {.N = 3, .C = 6, .H = 3, .W = 5, .block = 6};
    const size_t n = 3 * 6 * 3 * 5;
    const uint32_t words[3] = {7, 0x3002, 0xfffffff0u};
    const ex_draws told = {.key = {1, 2}, .counter = {3, 10, 20, 0x20}, .at = words};
    const ex_draws meant = {.key = {1, 2}, .counter = {3, 17, 20 + 0x3002, 0x10}};
    float *in = random_floats(n, 5), *expected = ex_guard_floats(n), *out = ex_guard_floats(n);
    ex_flatten_fwd_ref(expected, in, &shape, &(ex_dropout){.rate = 0.5f, .draws = meant});
    k->flatten_fwd(out, in, &shape, &(ex_dropout){.rate = 0.5f, .draws = told}, threads_stream(1));
    assert_same_floats(out, expected, n);
    ex_guard_free(in), ex_guard_free(expected), ex_guard_free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_are_fed_and_logged_in_order),
        cmocka_unit_test(test_a_feed_may_end_with_a_shorter_step),
        cmocka_unit_test(test_draws_follow_the_words_in_memory),
    };
    return run_kernel_tests(tests);
}
