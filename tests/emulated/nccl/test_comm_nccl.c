/* Ranks over NCCL, as threads: what they share, and how they part when one fails. Threads only note
 * what they saw; the tests look at it after they have joined. */
#include "comm_impl.h"
#include "federation_fixture.h"
#include "meet.h"
#include "nccl_emulated.h"
#include "share.h"
#include "temp.h"
#include "test.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RANKS_MAX = 4, MESSAGE = 1024 };

extern const ex_communicator ex_communicator_module;

typedef struct rank {
    pthread_t thread;
    ex_comm_options options;
    const char *device; /* NULL: as all */
    void (*work)(struct rank *r);
    ex_comm *comm;
    ex_status status;
    char message[MESSAGE];
    double seconds;
    const void *in;
    void *out;
} rank;

static const char *meeting(void)
{
    static char path[4096]; /* made before there are threads */
    if (!path[0])
        snprintf(path, sizeof path, "%s/meet", ex_temp_folder());
    return path;
}

static void *rank_main(void *argument)
{
    rank *r = argument;
    const double start = ex_now();
    r->status = ex_comm_create_as(&r->comm, &ex_communicator_module, &r->options);
    if (r->status == EX_OK)
        r->work(r);
    snprintf(r->message, sizeof r->message, "%s", ex_error_message());
    ex_comm_destroy(&r->comm);
    r->seconds = ex_now() - start;
    return NULL;
}

/* `count` of `size` ranks, each on its GPU, or all as `device` says. */
static void run_ranks(rank *ranks, int count, int size, const char *device, void (*work)(rank *r),
                      double timeout)
{
    for (int i = 0; i < count; i++) {
        rank *r = &ranks[i];
        r->options = (ex_comm_options){
            .ranks = {.rank = i, .size = size, .local_rank = i, .launcher = "mpirun"},
            .name = "nccl",
            .device = r->device ? r->device : device,
            .file = meeting(),
            .timeout = timeout};
        r->work = work;
        assert_int_equal(pthread_create(&r->thread, NULL, rank_main, r), 0);
    }
    for (int i = 0; i < count; i++)
        pthread_join(ranks[i].thread, NULL);
}

/* All is given back, and no rule of NCCL's was broken. */
static void check_end(void)
{
    const char *violation = ex_nccl_violation();
    if (violation)
        fail_msg("%s", violation);
    assert_int_equal(ex_nccl_left(), 0);
    for (int i = 0; i < RANKS_MAX; i++) {
        char path[4200];
        snprintf(path, sizeof path, "%s.%d", meeting(), i);
        assert_int_not_equal(access(path, F_OK), 0);
    }
}

static int reset(void **state)
{
    (void)state;
    ex_nccl_reset();
    return 0;
}

/* --- operations ----------------------------------------------------------------------------- */

typedef struct sums {
    int64_t small[3], *large;
    char text[16];
    int rank, size, gpu;
} sums;

enum { LARGE = 100001 };

static void add_and_tell(rank *r)
{
    sums *s = r->out;
    s->rank = ex_comm_rank(r->comm), s->size = ex_comm_size(r->comm), s->gpu = ex_comm_gpu(r->comm);
    for (int i = 0; i < 3; i++)
        s->small[i] = (s->rank + 1) * (i - 1) * ((int64_t)1 << 40);
    for (int i = 0; i < LARGE; i++)
        s->large[i] = i * (s->rank + 1);
    snprintf(s->text, sizeof s->text, "from %d", s->rank);
    r->status = ex_comm_sum(r->comm, s->small, 3);
    if (r->status == EX_OK)
        r->status = ex_comm_sum(r->comm, s->large, LARGE);
    if (r->status == EX_OK)
        r->status = ex_comm_broadcast(r->comm, s->text, sizeof s->text, s->size - 1);
    if (r->status == EX_OK)
        r->status = ex_comm_barrier(r->comm);
}

static void test_sums_and_broadcasts_reach_every_rank(void **state)
{
    (void)state;
    for (int size = 2; size <= RANKS_MAX; size++) {
        rank ranks[RANKS_MAX] = {0};
        sums out[RANKS_MAX];
        for (int i = 0; i < size; i++) {
            ranks[i].out = &out[i];
            out[i].large = malloc(LARGE * sizeof *out[i].large);
        }
        run_ranks(ranks, size, size, "cuda", add_and_tell, 20);
        const int64_t all = size * (size + 1) / 2;
        char text[16];
        snprintf(text, sizeof text, "from %d", size - 1);
        for (int i = 0; i < size; i++) {
            assert_int_equal(ranks[i].status, EX_OK);
            assert_true(out[i].rank == i && out[i].size == size && out[i].gpu == i);
            for (int k = 0; k < 3; k++)
                assert_true(out[i].small[k] == all * (k - 1) * ((int64_t)1 << 40));
            for (int k = 0; k < LARGE; k++)
                assert_true(out[i].large[k] == k * all);
            assert_string_equal(out[i].text, text);
            free(out[i].large);
        }
        assert_int_equal(ex_nccl_aborts(), 0);
        check_end();
    }
}

static void disagree(rank *r)
{
    const int me = ex_comm_rank(r->comm);
    const ex_status mine =
        me == 0 ? EX_OK : EX_FAIL(me == 1 ? EX_ERR_MEMORY : EX_ERR_IO, "cause %d", me);
    r->status = ex_comm_agree(r->comm, mine);
    snprintf(r->out, MESSAGE, "%s", ex_error_message());
    if (ex_comm_broken(r->comm) || ex_comm_agree(r->comm, EX_OK) != EX_OK)
        r->status = EX_OK; /* it must go on */
}

static void test_the_first_ranks_error_becomes_that_of_all(void **state)
{
    (void)state;
    rank ranks[3] = {0};
    char said[3][MESSAGE];
    for (int i = 0; i < 3; i++)
        ranks[i].out = said[i];
    run_ranks(ranks, 3, 3, "cuda", disagree, 20);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ranks[i].status, EX_ERR_MEMORY);
        assert_string_equal(said[i], "rank 1 of 3: cause 1");
    }
    check_end();
}

/* --- failures ------------------------------------------------------------------------------- */

static void sum_twice(rank *r)
{
    int64_t value = 1;
    r->status = ex_comm_sum(r->comm, &value, 1);
    if (r->status != EX_OK)
        return;
    r->status = ex_comm_sum(r->comm, &value, 1);
    const double start = ex_now();
    if (r->status != EX_OK && (ex_comm_sum(r->comm, &value, 1) != EX_ERR_BACKEND ||
                               !ex_comm_broken(r->comm) || ex_now() - start > 0.5))
        r->status = EX_ERR_INTERNAL; /* broken, and at once */
}

static void test_a_rank_that_hangs_is_given_up_within_the_timeout(void **state)
{
    (void)state;
    rank ranks[2] = {0};
    ex_nccl_hang(1, 1);
    run_ranks(ranks, 2, 2, "cuda", sum_twice, 0.5);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ranks[i].status, EX_ERR_BACKEND);
        assert_true(ranks[i].seconds > 0.5 && ranks[i].seconds < 5);
    }
    assert_int_equal(ex_nccl_aborts(), 2);
    check_end();
}

static void sum_and_say(rank *r)
{
    int64_t value = 1;
    r->status = ex_comm_sum(r->comm, &value, 1);
    snprintf(r->out, MESSAGE, "%s", ex_error_message());
}

static void test_an_error_of_nccl_is_told_and_ends_the_others(void **state)
{
    (void)state;
    rank ranks[2] = {0};
    char said[2][MESSAGE];
    ranks[0].out = said[0], ranks[1].out = said[1];
    ex_nccl_fail(0, 0);
    run_ranks(ranks, 2, 2, "cuda", sum_and_say, 0.5);
    assert_int_equal(ranks[0].status, EX_ERR_BACKEND);
    assert_non_null(strstr(said[0], "rank 0 of 2: a sum over nccl failed"));
    assert_non_null(strstr(said[0], "remote process exited"));
    assert_int_equal(ranks[1].status, EX_ERR_BACKEND);
    assert_non_null(strstr(said[1], "another rank did not join a sum within 0.5 s"));
    assert_int_equal(ex_nccl_aborts(), 2);
    check_end();
}

static void nothing(rank *r)
{
    (void)r;
}

static void test_a_gpu_for_two_ranks_is_refused_before_nccl_sees_it(void **state)
{
    (void)state;
    rank ranks[3] = {0};
    run_ranks(ranks, 3, 3, "cuda:1", nothing, 20);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ranks[i].status, EX_ERR_CONFIG);
        assert_non_null(strstr(ranks[i].message, "ranks 0 and 1 both have the GPU 0000:18:00.0"));
        assert_true(ranks[i].seconds < 5);
    }
    /* More ranks than GPUs come to the same. */
    ex_nccl_set_gpus(2);
    memset(ranks, 0, sizeof ranks);
    run_ranks(ranks, 3, 3, "auto", nothing, 20);
    for (int i = 0; i < 3; i++)
        assert_non_null(strstr(ranks[i].message, "ranks 0 and 2 both have the GPU 0000:17:00.0"));
    assert_int_equal(ex_nccl_inits(), 0);
    check_end();
}

static void test_a_machine_without_gpu_is_told_so(void **state)
{
    (void)state;
    rank ranks[2] = {0};
    ex_nccl_set_gpus(0);
    run_ranks(ranks, 2, 2, "auto", nothing, 20);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ranks[i].status, EX_ERR_UNSUPPORTED);
        assert_non_null(strstr(ranks[i].message, "no GPU answers"));
        assert_true(ranks[i].seconds < 5);
    }
    check_end();
}

/* The others would wait for it until the timeout, or go on over something else. */
static void test_all_hear_which_rank_has_no_gpu_and_which_has(void **state)
{
    (void)state;
    rank ranks[3] = {0};
    ranks[1].device = "cuda:9";
    run_ranks(ranks, 3, 3, "cuda", nothing, 20);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ranks[i].status, EX_ERR_CONFIG);
        assert_non_null(strstr(ranks[i].message, "rank 0 ("));
        assert_non_null(strstr(ranks[i].message, "has the GPU 0000:17:00.0, but rank 1 ("));
        assert_non_null(strstr(ranks[i].message, "device is cuda:9, and there are 4 GPUs"));
        assert_true(ranks[i].seconds < 5);
    }
    assert_int_equal(ex_nccl_inits(), 0);
    check_end();
}

/* Which ranks could take NCCL, by their bits. */
static void ask(rank *r)
{
    const unsigned can = *(const unsigned *)r->in;
    const int me = ex_comm_rank(r->comm);
    const ex_status mine = can >> me & 1 ? EX_OK : EX_FAIL(EX_ERR_UNSUPPORTED, "cause %d", me);
    r->status = ex_comm_ask_nccl(r->comm, mine);
    snprintf(r->out, MESSAGE, "%s", ex_error_message());
}

static void test_auto_is_decided_by_all_ranks_and_alike(void **state)
{
    (void)state;
    static const struct {
        unsigned can;
        ex_status status;
        const char *words;
    } cases[] = {
        {7, EX_OK, ""},
        {0, EX_ERR_UNSUPPORTED, "cause 0"},
        {5, EX_ERR_CONFIG, "rank 0 of 3 could talk over nccl, but rank 1 cannot: cause 1"},
        {6, EX_ERR_CONFIG, "rank 1 of 3 could talk over nccl, but rank 0 cannot: cause 0"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        rank ranks[3] = {0};
        char said[3][MESSAGE];
        for (int i = 0; i < 3; i++)
            ranks[i].in = &cases[k].can, ranks[i].out = said[i];
        run_ranks(ranks, 3, 3, "cuda", ask, 20);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(ranks[i].status, cases[k].status);
            assert_non_null(strstr(said[i], cases[k].words));
        }
        check_end();
    }
}

static void test_a_rank_that_does_not_come_is_named(void **state)
{
    (void)state;
    rank ranks[2] = {0};
    run_ranks(ranks, 2, 3, "cuda", nothing, 0.3);
    assert_int_equal(ranks[0].status, EX_ERR_BACKEND);
    assert_non_null(strstr(ranks[0].message, "rank 2 did not come"));
    assert_int_equal(ranks[1].status, EX_ERR_BACKEND);
    assert_non_null(strstr(ranks[1].message, "rank 0 did not come"));
    check_end();
}

/* An earlier run that was killed leaves files at every stage of its meeting. */
static void test_what_an_earlier_run_left_is_not_taken_for_this_one(void **state)
{
    (void)state;
    for (int left = 0; left < 3; left++) {
        enum { NOTICE = 144, CARD = sizeof(ex_meet_card) };
        char path[4200], garbage[NOTICE + 2 * CARD];
        memset(garbage, 7 + left, sizeof garbage);
        for (int i = 0; i < 2; i++) {
            snprintf(path, sizeof path, "%s.%d", meeting(), i);
            FILE *file = fopen(path, "w");
            assert_non_null(file);
            /* A card, a notice of two cards, and neither. */
            const size_t bytes = left == 2 ? 5 : i == 0 ? NOTICE + 2 * CARD : CARD;
            fwrite(garbage, 1, bytes, file);
            fclose(file);
        }
        rank ranks[2] = {0};
        sums out[2];
        for (int i = 0; i < 2; i++) {
            ranks[i].out = &out[i];
            out[i].large = malloc(LARGE * sizeof *out[i].large);
        }
        run_ranks(ranks, 2, 2, "cuda", add_and_tell, 20);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(ranks[i].status, EX_OK);
            free(out[i].large);
        }
        check_end();
    }
}

/* --- rounds --------------------------------------------------------------------------------- */

typedef struct trained {
    ex_test_values values;
    ex_round_result result[2];
    ex_cost cost;
    ex_status status;
} trained;

/* A round of everything, then one of a mask. */
static void train(ex_federation *f, trained *t)
{
    ex_mask *mask = ex_test_mask(f->model);
    ex_round masked = ex_test_round(f, 1);
    const ex_round full = ex_test_round(f, 0);
    masked.mask = mask;
    masked.send_mask = true;
    t->status = ex_ledger_begin(f->ledger, "train");
    if (t->status == EX_OK)
        t->status = ex_federation_round(f, &full, &t->result[0]);
    f->params[0] += 0.5f; /* as rank 0 alone may do: load, unlearn on the server */
    f->seed += 1;         /* as unlearn.seed has it */
    if (t->status == EX_OK)
        t->status = ex_federation_round(f, &masked, &t->result[1]);
    ex_ledger_end(f->ledger);
    t->cost = ex_ledger_cost(f->ledger, "train");
    t->values = ex_test_values_copy(f);
    ex_mask_destroy(&mask);
}

static void share_training(rank *r)
{
    ex_federation *f;
    bool reported;
    if (ex_comm_rank(r->comm) > 0) {
        r->status = ex_federation_serve(&r->comm, &reported);
        return;
    }
    r->status = ex_federation_open_shared(&f, r->in, &r->comm);
    if (r->status != EX_OK)
        return;
    train(f, r->out);
    ex_federation_close(&f);
}

static void same_cost(const trained *a, const trained *b)
{
    assert_true(a->cost.samples == b->cost.samples && a->cost.rounds == b->cost.rounds);
    assert_true(a->cost.bytes_up == b->cost.bytes_up && a->cost.bytes_down == b->cost.bytes_down);
    for (int i = 0; i < 2; i++) {
        assert_true(a->result[i].loss == b->result[i].loss);
        assert_true(a->result[i].accuracy == b->result[i].accuracy);
        assert_true(a->result[i].samples == b->result[i].samples);
        assert_true(b->result[i].client_seconds > 0);
    }
}

static void test_two_and_four_ranks_train_the_bits_of_one(void **state)
{
    (void)state;
    const ex_config c = ex_test_config();
    ex_federation *f;
    trained one, many;
    assert_ok(ex_federation_open(&f, &c));
    train(f, &one);
    assert_ok(one.status);
    for (int size = 2; size <= 4; size += 2) {
        rank ranks[RANKS_MAX] = {0};
        ranks[0].in = &c, ranks[0].out = &many;
        run_ranks(ranks, size, size, "auto", share_training, 60);
        for (int i = 0; i < size; i++)
            if (ranks[i].status != EX_OK)
                fail_msg("rank %d of %d: %s", i, size, ranks[i].message);
        assert_ok(many.status);
        ex_test_values_same(f, &many.values);
        same_cost(&one, &many);
        ex_test_values_free(&many.values);
        check_end();
    }
    ex_test_values_free(&one.values);
    ex_federation_close(&f);
}

/* Rank 1 hangs in the round's sum: rank 0 keeps the values from before it. */
static void test_a_round_that_a_rank_leaves_changes_nothing(void **state)
{
    (void)state;
    const ex_config c = ex_test_config();
    ex_federation *f;
    trained t;
    rank ranks[2] = {0};
    assert_ok(ex_federation_open(&f, &c));
    ranks[0].in = &c, ranks[0].out = &t;
    ex_nccl_hang(1, 10); /* after opening, and what the first round needs */
    run_ranks(ranks, 2, 2, "auto", share_training, 4);
    assert_int_equal(t.status, EX_ERR_BACKEND);
    assert_int_equal(ranks[1].status, EX_ERR_BACKEND);
    f->params[0] += 0.5f;
    ex_test_values_same(f, &t.values);
    ex_test_values_free(&t.values);
    ex_federation_close(&f);
    check_end();
}

/* --- rank 0 alone --------------------------------------------------------------------------- */

typedef struct solitude {
    ex_config config;
    double seconds;
    ex_status status; /* of a round after them */
    double round_seconds;
    char message[MESSAGE];
} solitude;

static void work_alone(rank *r)
{
    ex_federation *f;
    ex_round_result result;
    solitude *s = r->out;
    bool reported;
    if (ex_comm_rank(r->comm) > 0) {
        r->status = ex_federation_serve(&r->comm, &reported);
        return;
    }
    r->status = ex_federation_open_shared(&f, &s->config, &r->comm);
    if (r->status != EX_OK)
        return;
    usleep((useconds_t)(s->seconds * 1e6));
    const ex_round round = ex_test_round(f, 0);
    const double start = ex_now();
    s->status = ex_ledger_begin(f->ledger, "train");
    if (s->status == EX_OK)
        s->status = ex_federation_round(f, &round, &result);
    ex_ledger_end(f->ledger);
    s->round_seconds = ex_now() - start;
    snprintf(s->message, sizeof s->message, "%s", ex_error_message());
    ex_federation_close(&f);
}

/* As a long ablation does. */
static void test_rank_0_may_work_alone_for_longer_than_the_timeout(void **state)
{
    (void)state;
    rank ranks[2] = {0};
    solitude s = {.config = ex_test_config(), .seconds = 5};
    s.config.train_samples = 60;
    ranks[0].out = &s;
    run_ranks(ranks, 2, 2, "auto", work_alone, 2);
    for (int i = 0; i < 2; i++)
        if (ranks[i].status != EX_OK)
            fail_msg("rank %d: %s", i, ranks[i].message);
    if (s.status != EX_OK)
        fail_msg("%s", s.message);
    check_end();
}

static void test_a_rank_that_is_lost_meanwhile_is_known_before_the_next_round(void **state)
{
    (void)state;
    rank ranks[2] = {0};
    solitude s = {.config = ex_test_config(), .seconds = 3};
    ranks[0].out = &s;
    ex_nccl_hang(1, 4); /* after opening */
    run_ranks(ranks, 2, 2, "auto", work_alone, 1);
    assert_int_equal(s.status, EX_ERR_BACKEND);
    assert_non_null(strstr(s.message, "another rank did not join a broadcast within 1 s"));
    assert_true(s.round_seconds < 0.5);
    assert_int_equal(ranks[1].status, EX_ERR_BACKEND);
    check_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sums_and_broadcasts_reach_every_rank, reset),
        cmocka_unit_test_setup(test_the_first_ranks_error_becomes_that_of_all, reset),
        cmocka_unit_test_setup(test_a_rank_that_hangs_is_given_up_within_the_timeout, reset),
        cmocka_unit_test_setup(test_an_error_of_nccl_is_told_and_ends_the_others, reset),
        cmocka_unit_test_setup(test_a_gpu_for_two_ranks_is_refused_before_nccl_sees_it, reset),
        cmocka_unit_test_setup(test_a_machine_without_gpu_is_told_so, reset),
        cmocka_unit_test_setup(test_all_hear_which_rank_has_no_gpu_and_which_has, reset),
        cmocka_unit_test_setup(test_auto_is_decided_by_all_ranks_and_alike, reset),
        cmocka_unit_test_setup(test_a_rank_that_does_not_come_is_named, reset),
        cmocka_unit_test_setup(test_what_an_earlier_run_left_is_not_taken_for_this_one, reset),
        cmocka_unit_test_setup(test_two_and_four_ranks_train_the_bits_of_one, reset),
        cmocka_unit_test_setup(test_a_round_that_a_rank_leaves_changes_nothing, reset),
        cmocka_unit_test_setup(test_rank_0_may_work_alone_for_longer_than_the_timeout, reset),
        cmocka_unit_test_setup(test_a_rank_that_is_lost_meanwhile_is_known_before_the_next_round,
                               reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
