/* Ranks over NCCL, as threads: what they share, and how they part when one fails. */
#include "ranks.h"
#include "test.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    for (int size = 1; size <= RANKS_MAX; size++) {
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

static void sum_once(rank *r)
{
    int64_t value = 1;
    r->status = ex_comm_sum(r->comm, &value, 1);
}

/* A peer that died behind the last sum never leaves; comm_timeout is for ranks that work. */
static void test_leaving_does_not_wait_for_the_dead(void **state)
{
    (void)state;
    rank ranks[2] = {0};
    ex_nccl_stay();
    run_ranks(ranks, 2, 2, "cuda", sum_once, 1e6);
    for (int i = 0; i < 2; i++)
        assert_int_equal(ranks[i].status, EX_OK);
    assert_int_equal(ex_nccl_aborts(), 2);
    check_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sums_and_broadcasts_reach_every_rank, reset_ranks),
        cmocka_unit_test_setup(test_the_first_ranks_error_becomes_that_of_all, reset_ranks),
        cmocka_unit_test_setup(test_a_rank_that_hangs_is_given_up_within_the_timeout, reset_ranks),
        cmocka_unit_test_setup(test_an_error_of_nccl_is_told_and_ends_the_others, reset_ranks),
        cmocka_unit_test_setup(test_leaving_does_not_wait_for_the_dead, reset_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
