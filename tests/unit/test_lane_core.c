/* Scratch memory of a lane where memory is short: what was asked for in vain leaves nothing behind. */
#include "lane_core.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

static size_t capacity; /* of the memory below */

static ex_status alloc_some(void *out, ex_lane_core *lane, size_t bytes, const char *what)
{
    (void)lane;
    void *block = bytes <= capacity ? malloc(bytes ? bytes : 1) : NULL;
    memcpy(out, &block, sizeof block);
    return block ? EX_OK : EX_FAIL(EX_ERR_MEMORY, "no memory for %s", what);
}

static void free_some(void *pointer)
{
    void *block, *const nothing = NULL;
    memcpy(&block, pointer, sizeof block);
    free(block);
    memcpy(pointer, &nothing, sizeof nothing);
}

static ex_status wait_for_nothing(ex_lane_core *lane)
{
    (void)lane;
    return EX_OK;
}

static const ex_lane_memory memory = {
    .alloc = alloc_some, .free = free_some, .wait = wait_for_nothing};

static void test_a_loan_that_fails_does_not_hinder_smaller_ones(void **state)
{
    (void)state;
    ex_device device = {.options = {.memory = 0}};
    ex_budget budget;
    ex_lane_core lane = {0};
    ex_budget_init(&budget, &device);
    ex_lane_core_init(&lane, &device, NULL, 1, &memory, &budget);
    capacity = 1000;
    assert_ok(ex_lane_borrow(&lane, 100));
    assert_status(ex_lane_borrow(&lane, 5000), EX_ERR_MEMORY);
    assert_int_equal(budget.used, 100);
    assert_ok(ex_lane_borrow(&lane, 200));
    assert_true(lane.arena && lane.arena_bytes >= 200);
    assert_ok(ex_lane_borrow(&lane, 50));
    assert_int_equal(budget.used, 200);
    ex_lane_core_close(&lane);
    assert_int_equal(budget.used, 0);
    ex_budget_close(&budget);
}

/* The limit of the budget, before anything is asked for. */
static void test_a_loan_beyond_the_budget_keeps_what_is_there(void **state)
{
    (void)state;
    ex_device device = {.options = {.memory = 300}};
    ex_budget budget;
    ex_lane_core lane = {0};
    ex_budget_init(&budget, &device);
    ex_lane_core_init(&lane, &device, NULL, 1, &memory, &budget);
    capacity = 1000;
    assert_ok(ex_lane_borrow(&lane, 200));
    const char *const arena = lane.arena;
    assert_status(ex_lane_borrow(&lane, 400), EX_ERR_MEMORY);
    assert_ptr_equal(lane.arena, arena);
    assert_int_equal(budget.used, 200);
    ex_lane_core_close(&lane);
    ex_budget_close(&budget);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_loan_that_fails_does_not_hinder_smaller_ones),
        cmocka_unit_test(test_a_loan_beyond_the_budget_keeps_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
