/* Results of lanes are taken in the order of their items. */
#include "ordered.h"
#include "test.h"
#include "trainer.h" /* ex_lanes_run */

#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { ITEMS = 60 };

typedef struct scene {
    ex_ordered ordered;
    int owner[8]; /* item in each slot, -1: free */
    int taken[ITEMS], taken_count;
    atomic_int held, held_most;
    int fail_at;
} scene;

static void take(void *context, int item)
{
    scene *s = context;
    const int slot = item % s->ordered.slots;
    assert_int_equal(s->owner[slot], item);
    s->owner[slot] = -1;
    s->taken[s->taken_count++] = item;
    atomic_fetch_sub(&s->held, 1);
}

static ex_status work_and_leave(void *context, int item, int lane)
{
    scene *s = context;
    (void)lane;
    if (!ex_ordered_enter(&s->ordered, item))
        return EX_OK;
    const int held = atomic_fetch_add(&s->held, 1) + 1;
    for (int most = atomic_load(&s->held_most); most < held;)
        if (atomic_compare_exchange_weak(&s->held_most, &most, held))
            break;
    assert_int_equal(s->owner[item % s->ordered.slots], -1); /* nobody else's */
    s->owner[item % s->ordered.slots] = item;
    /* Later items of a group are faster, so they finish in the wrong order. */
    nanosleep(&(struct timespec){.tv_nsec = (3 - item % 4) * 1000000L}, NULL);
    if (item == s->fail_at) {
        ex_ordered_give_up(&s->ordered);
        return EX_FAIL(EX_ERR_NUMERIC, "item %d failed", item);
    }
    ex_ordered_leave(&s->ordered, item, take, s);
    return EX_OK;
}

static void open_scene(scene *s, int slots, int fail_at)
{
    memset(s, 0, sizeof *s);
    s->fail_at = fail_at;
    memset(s->owner, -1, sizeof s->owner);
    assert_ok(ex_ordered_init(&s->ordered, slots));
}

static void test_results_are_taken_in_item_order_from_few_slots(void **state)
{
    (void)state;
    for (int lanes = 1; lanes <= 4; lanes++) {
        scene s;
        open_scene(&s, lanes + 1, -1);
        assert_ok(ex_lanes_run(lanes, ITEMS, work_and_leave, &s));
        assert_int_equal(s.taken_count, ITEMS);
        for (int i = 0; i < ITEMS; i++)
            assert_int_equal(s.taken[i], i);
        assert_in_range(atomic_load(&s.held_most), 1, lanes + 1);
        ex_ordered_close(&s.ordered);
    }
}

static void test_a_failed_item_lets_nobody_wait_and_is_the_one_reported(void **state)
{
    (void)state;
    for (int fail_at = 0; fail_at < 12; fail_at++)
        for (int lanes = 1; lanes <= 4; lanes++) {
            scene s;
            open_scene(&s, lanes + 1, fail_at);
            assert_status(ex_lanes_run(lanes, ITEMS, work_and_leave, &s), EX_ERR_NUMERIC);
            assert_int_equal(s.taken_count, fail_at); /* all before it, none after */
            ex_ordered_close(&s.ordered);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_are_taken_in_item_order_from_few_slots),
        cmocka_unit_test(test_a_failed_item_lets_nobody_wait_and_is_the_one_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
