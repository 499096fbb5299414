/* Data sets on the device: uploaded once, and again when they are others, whatever tells. */
#include "device/device.h"
#include "net_fixture.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { IMAGES = 6 };

typedef struct setting {
    ex_net_fixture f;
    ex_plan *plan;
    size_t bytes, floats;
} setting;

static void open_setting(setting *s, uint64_t seed)
{
    ex_emulated_reset(seed);
    ex_net_fixture_open(&s->f, 0, IMAGES, 1, EX_CONV_DIRECT);
    assert_ok(ex_plan_create(&s->plan, s->f.lane,
                             &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = IMAGES}));
    const ex_dataset *d = &s->f.data;
    s->bytes = d->count * (size_t)(d->channels * d->height * d->width);
    s->floats = IMAGES * (size_t)s->f.model->classes;
}

static void close_setting(setting *s)
{
    ex_plan_destroy(&s->plan);
    ex_net_fixture_close(&s->f);
    assert_string_equal(ex_emulated_leaks(), "");
}

/* Evaluates; *uploaded: whether the images went to the device. */
static float *evaluate(setting *s, bool *uploaded)
{
    float *logits = malloc(s->floats * sizeof *logits);
    ex_eval_sums sums = {.logits = logits};
    const ex_emulated_counts before = ex_emulated_count();
    assert_ok(ex_plan_evaluate(s->plan, &s->f.data, &s->f.feed, &sums));
    *uploaded = ex_emulated_count().uploaded - before.uploaded >= s->bytes;
    return logits;
}

/* Every byte counts: each in turn is changed where it lies. */
static void test_a_byte_changed_in_place_is_seen(void **state)
{
    (void)state;
    setting s;
    bool uploaded;
    open_setting(&s, 1);
    free(evaluate(&s, &uploaded));
    assert_true(uploaded);
    free(evaluate(&s, &uploaded));
    assert_false(uploaded);
    const size_t most = ex_emulated_alive().device_bytes_most;
    for (size_t i = 0; i < s.bytes; i += 7) {
        s.f.data.images[i] ^= 1;
        free(evaluate(&s, &uploaded));
        assert_true(uploaded);
    }
    assert_int_equal(ex_emulated_alive().device_bytes_most, most); /* in the old one's place */
    close_setting(&s);
}

static void test_a_generation_stands_for_the_bytes(void **state)
{
    (void)state;
    setting s;
    bool uploaded;
    open_setting(&s, 1);
    ex_dataset_changed(&s.f.data);
    float *before = evaluate(&s, &uploaded);
    assert_true(uploaded);
    for (size_t i = 0; i < s.bytes; i++)
        s.f.data.images[i] ^= 0x55;
    ex_dataset_changed(&s.f.data);
    float *after = evaluate(&s, &uploaded);
    assert_true(uploaded);
    assert_memory_not_equal(before, after, s.floats * sizeof *before);
    free(evaluate(&s, &uploaded));
    assert_false(uploaded);
    free(before);
    free(after);
    close_setting(&s);
}

/* What another lane has queued reads the bytes that were there when it was asked for. */
static void test_a_change_waits_for_who_reads_the_old_bytes(void **state)
{
    enum { SEEDS = 16 };
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        setting s;
        ex_lane *lane;
        ex_plan *other;
        bool uploaded;
        open_setting(&s, seed);
        float *expected = evaluate(&s, &uploaded), *logits = malloc(s.floats * sizeof *logits);
        assert_ok(ex_lane_create(&lane, s.f.device, s.f.model, 1));
        assert_ok(ex_lane_load(lane, s.f.params, s.f.stats));
        assert_ok(
            ex_plan_create(&other, lane, &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = IMAGES}));
        assert_ok(ex_plan_load(s.plan, &s.f.data, &s.f.feed));
        assert_ok(ex_plan_forward(s.plan, 1, s.f.model->node_count - 1));
        for (size_t i = 0; i < s.bytes; i++)
            s.f.data.images[i] ^= 0x55;
        assert_ok(ex_plan_load(other, &s.f.data, &s.f.feed));
        assert_ok(ex_plan_logits(s.plan, logits, IMAGES));
        assert_memory_equal(logits, expected, s.floats * sizeof *logits);
        free(expected);
        free(logits);
        ex_plan_destroy(&other);
        ex_lane_destroy(&lane);
        close_setting(&s);
    }
}

static void test_generations_are_never_used_twice(void **state)
{
    (void)state;
    ex_dataset a = {0}, b = {0};
    ex_dataset_changed(&a);
    ex_dataset_changed(&b);
    assert_true(a.generation != 0 && b.generation != 0 && a.generation != b.generation);
    const uint64_t before = a.generation;
    ex_dataset_changed(&a);
    assert_true(a.generation != before && a.generation != b.generation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_byte_changed_in_place_is_seen),
        cmocka_unit_test(test_a_generation_stands_for_the_bytes),
        cmocka_unit_test(test_a_change_waits_for_who_reads_the_old_bytes),
        cmocka_unit_test(test_generations_are_never_used_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
