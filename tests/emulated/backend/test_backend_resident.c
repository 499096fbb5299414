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

static void open_setting(setting *s)
{
    ex_emulated_reset(1);
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
    open_setting(&s);
    free(evaluate(&s, &uploaded));
    assert_true(uploaded);
    free(evaluate(&s, &uploaded));
    assert_false(uploaded);
    for (size_t i = 0; i < s.bytes; i += 7) {
        s.f.data.images[i] ^= 1;
        free(evaluate(&s, &uploaded));
        assert_true(uploaded);
    }
    close_setting(&s);
}

static void test_a_generation_stands_for_the_bytes(void **state)
{
    (void)state;
    setting s;
    bool uploaded;
    open_setting(&s);
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
        cmocka_unit_test(test_generations_are_never_used_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
