/* A plan goes on after a call that failed: what the failed run left undone is done by the next one,
 * whose results are those of a plan for which nothing ever failed. */
#include "device/device.h"
#include "net_fixture.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

enum { BATCH = 3 };

typedef struct scene {
    ex_net_fixture f;
    ex_plan *plan;
} scene;

static void open_scene(scene *s)
{
    const ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = BATCH};
    ex_emulated_reset(1);
    ex_net_fixture_open(&s->f, 0, BATCH, 1, EX_CONV_DIRECT);
    assert_ok(ex_plan_create(&s->plan, s->f.lane, &spec));
}

static void close_scene(scene *s)
{
    ex_plan_destroy(&s->plan);
    ex_net_fixture_close(&s->f);
}

static ex_status evaluate(scene *s, float *logits)
{
    ex_eval_sums sums = {.logits = logits};
    return ex_plan_evaluate(s->plan, &s->f.data, &s->f.feed, &sums);
}

/* Among the calls are the launches that fold norms. */
static void test_an_evaluation_after_one_that_failed_gives_the_same(void **state)
{
    enum { LOGITS_MAX = 256 };
    (void)state;
    scene s;
    float expected[LOGITS_MAX], found[LOGITS_MAX];
    open_scene(&s);
    const size_t bytes = BATCH * (size_t)s.f.model->classes * sizeof *expected;
    assert_true(bytes <= sizeof expected);
    assert_ok(evaluate(&s, expected));
    close_scene(&s);
    int failures = 0;
    for (long n = 1;; n++) {
        open_scene(&s);
        ex_emulated_fail_call(n);
        const ex_status status = evaluate(&s, found);
        char call[64] = "";
        if (ex_emulated_failed_call())
            snprintf(call, sizeof call, "%s", ex_emulated_failed_call());
        ex_emulated_fail_call(0);
        failures += status != EX_OK;
        if (!ex_emulated_failure()) { /* else the device is broken for good */
            memset(found, 0xff, bytes);
            assert_ok(evaluate(&s, found));
            if (memcmp(found, expected, bytes) != 0)
                fail_msg("after failure %ld, of %s, an evaluation gives something else", n, call);
        }
        close_scene(&s);
        if (!*call)
            break;
    }
    assert_true(failures > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_evaluation_after_one_that_failed_gives_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
