/* What the host waits for: without any one of its waits for a stream, some order of the work gives
 * other results. So one that was left out would show in the tests that compare results over orders.
 *
 * A run reads what its lane computed (samples in, losses out), a lane is loaded and stored by way
 * of its pinned memory, which is handed out anew once it was waited for, a data set is there before
 * it is listed; and nodes are launched by recordings, of which one is worth nothing once the arena
 * that it names has moved. */
#include "device/device.h"
#include "net_fixture.h"
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH = 2, STEPS = 10, SEEDS = 16 };

static const ex_sgd_coeff SGD = {.lr = 0.02f, .momentum = 0.9f};

typedef struct outcome {
    float *params, *stats, *logits;
    double loss;
    long first, synchronisations; /* those of the run, after plans were made */
    size_t param_bytes, stat_bytes, logit_bytes;
} outcome;

/* Training, evaluation, and what is stored, on a lane that is loaded with what was stored of it. */
static ex_status use(ex_net_fixture *f, ex_plan *train, ex_plan *evaluate, outcome *o)
{
    ex_train_sums sums = {0};
    ex_eval_sums evaluated = {.logits = o->logits};
    for (int round = 0; round < 2; round++) {
        EX_TRY(ex_lane_load(f->lane, f->params, f->stats));
        EX_TRY(ex_plan_train(train, &f->data, &f->feed, &SGD, &sums));
        EX_TRY(ex_lane_store(f->lane, o->params, o->stats));
        memcpy(f->params, o->params, o->param_bytes);
        memcpy(f->stats, o->stats, o->stat_bytes);
    }
    EX_TRY(ex_plan_evaluate(evaluate, &f->data, &f->feed, &evaluated));
    o->loss = sums.loss + evaluated.loss;
    return EX_OK;
}

/* lost: the host's wait that is, of those of the run; 0: none. */
static ex_status run(outcome *o, uint64_t seed, long lost)
{
    ex_net_fixture f;
    ex_plan *train, *evaluate;
    ex_emulated_reset(seed);
    ex_net_fixture_open(&f, 1, BATCH * STEPS, 1, EX_CONV_DIRECT);
    o->param_bytes = f.model->param_count * sizeof(float);
    o->stat_bytes = f.model->stat_count * sizeof(float);
    o->logit_bytes = f.feed.count * (size_t)f.model->classes * sizeof(float);
    o->params = calloc(1, o->param_bytes);
    o->stats = calloc(1, o->stat_bytes);
    o->logits = calloc(1, o->logit_bytes);
    assert_ok(ex_plan_create(&train, f.lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = BATCH}));
    assert_ok(
        ex_plan_create(&evaluate, f.lane, &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = BATCH}));
    o->first = ex_emulated_count().synchronisations;
    ex_emulated_lose_synchronisation(lost);
    const ex_status status = use(&f, train, evaluate, o);
    o->synchronisations = ex_emulated_count().synchronisations - o->first;
    ex_plan_destroy(&train);
    ex_plan_destroy(&evaluate);
    ex_net_fixture_close(&f);
    return status;
}

static void release(outcome *o)
{
    free(o->params);
    free(o->stats);
    free(o->logits);
}

static bool same(const outcome *a, const outcome *b)
{
    return memcmp(a->params, b->params, a->param_bytes) == 0 &&
           memcmp(a->stats, b->stats, a->stat_bytes) == 0 &&
           memcmp(a->logits, b->logits, a->logit_bytes) == 0 && a->loss == b->loss;
}

/* Whether `shows`, in a process of its own, says so or ends by a fault of the emulated device. */
static bool shown(bool (*shows)(const void *what, uint64_t seed, long lost), const void *what,
                  uint64_t seed, long lost)
{
    int ended;
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr)) /* what the device says of its end */
            _exit(2);
        signal(SIGSEGV, SIG_DFL);
        signal(SIGABRT, SIG_DFL);
        _exit(shows(what, seed, lost) ? 1 : 0);
    }
    assert_int_equal(waitpid(child, &ended, 0), child);
    return !WIFEXITED(ended) || WEXITSTATUS(ended) != 0;
}

static bool run_differs(const void *whole, uint64_t seed, long lost)
{
    outcome other;
    return run(&other, seed, lost) != EX_OK || !same(&other, whole);
}

/* But for the first two of a run: see the test below, and cudaFree, which waits, too, where lists
 * of samples are replaced. */
static void test_every_wait_of_the_host_is_needed(void **state)
{
    enum { FIRST = 3 };
    (void)state;
    outcome whole;
    assert_ok(run(&whole, 0, 0));
    assert_true(whole.synchronisations >= FIRST + 4);
    for (long n = FIRST; n <= whole.synchronisations; n++) {
        bool caught = false;
        for (uint64_t seed = 0; seed < SEEDS && !caught; seed++)
            caught = shown(run_differs, &whole, seed, n);
        if (!caught)
            fail_msg("without wait %ld of the host every order of the work gives the same", n);
    }
    release(&whole);
}

/* Two lanes that have room for samples; the first one uploads the data set, and both gather from
 * it.
 */
static void load_both(float *logits, size_t *floats, uint64_t seed, long lost)
{
    ex_net_fixture f;
    ex_lane *lane;
    ex_plan *plan[2];
    const ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = BATCH};
    ex_emulated_reset(seed);
    ex_net_fixture_open(&f, 1, BATCH, 1, EX_CONV_DIRECT);
    *floats = BATCH * (size_t)f.model->classes;
    assert_ok(ex_lane_create(&lane, f.device, f.model, 1));
    assert_ok(ex_lane_load(lane, f.params, f.stats));
    assert_ok(ex_plan_create(&plan[0], f.lane, &spec));
    assert_ok(ex_plan_create(&plan[1], lane, &spec));
    ex_dataset before;
    ex_test_images(&before, f.model, BATCH, 4);
    for (int i = 0; i < 2; i++)
        assert_ok(ex_plan_load(plan[i], &before, &f.feed));
    ex_emulated_lose_synchronisation(lost);
    for (int i = 0; i < 2; i++)
        assert_ok(ex_plan_load(plan[i], &f.data, &f.feed));
    ex_emulated_lose_synchronisation(0);
    assert_ok(ex_plan_forward(plan[1], 1, f.model->node_count - 1));
    assert_ok(ex_plan_logits(plan[1], logits, BATCH));
    for (int i = 0; i < 2; i++)
        ex_plan_destroy(&plan[i]);
    ex_lane_destroy(&lane);
    ex_dataset_close(&before);
    ex_net_fixture_close(&f);
}

enum { LOGITS_MAX = 256 };

static bool logits_differ(const void *expected, uint64_t seed, long lost)
{
    float logits[LOGITS_MAX];
    size_t floats;
    load_both(logits, &floats, seed, lost);
    return memcmp(logits, expected, floats * sizeof *logits) != 0;
}

static void test_a_data_set_is_there_before_another_lane_finds_it(void **state)
{
    (void)state;
    float expected[LOGITS_MAX];
    size_t floats;
    bool caught = false;
    load_both(expected, &floats, 0, 0);
    assert_true(floats <= LOGITS_MAX);
    for (uint64_t seed = 1; seed < SEEDS; seed++)
        assert_false(shown(logits_differ, expected, seed, 0));
    for (uint64_t seed = 1; seed < SEEDS && !caught; seed++)
        caught = shown(logits_differ, expected, seed, 1);
    assert_true(caught);
}

static void test_orders_of_the_work_change_nothing(void **state)
{
    (void)state;
    outcome whole;
    assert_ok(run(&whole, 0, 0));
    for (uint64_t seed = 1; seed < 4; seed++) {
        outcome other;
        assert_ok(run(&other, seed, 0));
        assert_true(same(&other, &whole));
        release(&other);
    }
    release(&whole);
}

/* --- recordings ------------------------------------------------------------------------------- */

/* Evaluated until it is recorded; then a plan that needs a larger arena is made on the lane, and
 * the addresses in the recording are nobody's. They fault on the emulated device. */
static void test_a_recording_is_made_anew_where_the_arena_moved(void **state)
{
    (void)state;
    ex_net_fixture f;
    ex_plan *plan, *larger;
    ex_emulated_reset(1);
    ex_net_fixture_open(&f, 0, BATCH, 1, EX_CONV_DIRECT);
    const size_t floats = f.feed.count * (size_t)f.model->classes;
    float *before = malloc(floats * sizeof *before), *after = malloc(floats * sizeof *after);
    assert_ok(
        ex_plan_create(&plan, f.lane, &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = BATCH}));
    for (int i = 0; i < 3; i++)
        assert_ok(ex_plan_evaluate(plan, &f.data, &f.feed, &(ex_eval_sums){.logits = before}));
    const long launches = ex_emulated_count().graph_launches;
    assert_true(launches > 0);
    assert_ok(ex_plan_create(&larger, f.lane,
                             &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = 16 * BATCH}));
    for (int i = 0; i < 2; i++)
        assert_ok(ex_plan_evaluate(plan, &f.data, &f.feed, &(ex_eval_sums){.logits = after}));
    assert_true(ex_emulated_count().graph_launches > launches);
    assert_null(ex_emulated_failure());
    assert_memory_equal(after, before, floats * sizeof *before);
    free(before);
    free(after);
    ex_plan_destroy(&plan);
    ex_plan_destroy(&larger);
    ex_net_fixture_close(&f);
    assert_string_equal(ex_emulated_leaks(), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders_of_the_work_change_nothing),
        cmocka_unit_test(test_every_wait_of_the_host_is_needed),
        cmocka_unit_test(test_a_data_set_is_there_before_another_lane_finds_it),
        cmocka_unit_test(test_a_recording_is_made_anew_where_the_arena_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
