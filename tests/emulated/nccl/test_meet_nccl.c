/* How ranks that will talk over NCCL come together: a GPU for each, all of them there, and all of
 * them told where that is not so. */
#include "meet.h"
#include "ranks.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

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

static void add_one(rank *r)
{
    int64_t value = 1;
    r->status = ex_comm_sum(r->comm, &value, 1);
    if (r->status == EX_OK && value != r->options.ranks.size)
        r->status = EX_ERR_INTERNAL;
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
        run_ranks(ranks, 2, 2, "cuda", add_one, 20);
        for (int i = 0; i < 2; i++)
            assert_int_equal(ranks[i].status, EX_OK);
        check_end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_gpu_for_two_ranks_is_refused_before_nccl_sees_it,
                               reset_ranks),
        cmocka_unit_test_setup(test_a_machine_without_gpu_is_told_so, reset_ranks),
        cmocka_unit_test_setup(test_all_hear_which_rank_has_no_gpu_and_which_has, reset_ranks),
        cmocka_unit_test_setup(test_auto_is_decided_by_all_ranks_and_alike, reset_ranks),
        cmocka_unit_test_setup(test_a_rank_that_does_not_come_is_named, reset_ranks),
        cmocka_unit_test_setup(test_what_an_earlier_run_left_is_not_taken_for_this_one,
                               reset_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
