/* Lanes of a federation on a GPU: as many as its memory holds, and the same bits with any number.
 */
#include "device/device.h"
#include "federation_fixture.h"
#include "test.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>

enum { CLIENTS = 6, LOGGED = 4096 };

static char logged[LOGGED];
static ex_log_sink sink;

static void keep_log(const char *text, bool warning)
{
    (void)warning;
    ex_append(logged, sizeof logged, "%s\n", text);
}

static int count_of(const char *word)
{
    int count = 0;
    for (const char *p = logged; (p = strstr(p, word)); p += strlen(word))
        count++;
    return count;
}

static int keep_what_is_logged(void **state)
{
    (void)state;
    logged[0] = '\0';
    sink = ex_log_sink_get();
    ex_log_sink_set(keep_log);
    return 0;
}

static int drop_what_is_logged(void **state)
{
    (void)state;
    ex_log_sink_set(sink);
    return 0;
}

/* Six clients of a batch and a rest each. */
static ex_config small_config(int lanes)
{
    ex_config c = ex_test_config();
    snprintf(c.device, sizeof c.device, "cuda");
    c.num_clients = CLIENTS;
    c.lanes = lanes;
    c.batch_size = 2;
    c.server.samples = 4;
    c.train_samples = 4 + 3 * CLIENTS;
    c.test_samples = 10;
    return c;
}

/* A round on a device of so many bytes. */
static ex_status run_round(ex_federation **f, const ex_config *c, size_t memory)
{
    ex_round_result result;
    ex_emulated_reset(1);
    ex_emulated_set_memory(memory);
    *f = ex_test_federation(c);
    const ex_round round = ex_test_round(*f, 0);
    return ex_federation_round(*f, &round, &result);
}

static const size_t MUCH = (size_t)4 << 30;

static void test_lanes_are_as_many_as_memory_holds(void **state)
{
    (void)state;
    ex_federation *f;
    ex_accuracy expected, found;
    ex_config c = small_config(0);
    assert_ok(run_round(&f, &c, MUCH));
    assert_int_equal(f->lane_count, CLIENTS);
    assert_int_equal(count_of("holds no more"), 0);
    const ex_test_values values = ex_test_values_copy(f);
    const size_t lane = f->lane_bytes;
    assert_ok(ex_federation_evaluate(f, &f->data->test, NULL, &expected));
    ex_federation_close(&f);
    /* three lanes, and room for two that is kept for others */
    assert_ok(run_round(&f, &c, 5 * lane));
    assert_true(f->lane_count > 1 && f->lane_count < CLIENTS);
    assert_int_equal(count_of("lanes: the memory of cuda:0 holds no more"), 1);
    ex_test_values_same(f, &values);
    ex_federation_close(&f);
    /* memory runs short when all of them evaluate */
    assert_ok(run_round(&f, &c, MUCH));
    ex_emulated_set_memory(ex_emulated_alive().device_bytes + lane / 8);
    assert_ok(ex_federation_evaluate(f, &f->data->test, NULL, &found));
    assert_int_equal(found.correct, expected.correct);
    assert_true(found.loss == expected.loss);
    assert_true(count_of("memory is short") + count_of("holds no more") > 1);
    ex_accuracy_free(&found);
    ex_federation_close(&f);
    assert_string_equal(ex_emulated_leaks(), "");
    ex_accuracy_free(&expected);
    ex_test_values_free((ex_test_values *)&values);
}

static void test_a_number_of_lanes_that_does_not_fit_says_what_does(void **state)
{
    (void)state;
    ex_federation *f;
    ex_config c = small_config(1);
    assert_ok(run_round(&f, &c, MUCH));
    const size_t lane = f->lane_bytes;
    ex_federation_close(&f);
    c.lanes = CLIENTS;
    assert_status(run_round(&f, &c, 3 * lane + lane / 2), EX_ERR_MEMORY);
    assert_message("lanes is 6, but the memory of cuda:0 holds 3; lower lanes, or leave it at 0 (");
    assert_message("of GPU memory are needed");
    assert_int_equal(count_of("holds no more"), 0);
    ex_federation_close(&f);
    assert_string_equal(ex_emulated_leaks(), "");
}

/* Plans for the first client's samples, and with the first of them all images. */
static ex_status prepare(void *context, ex_trainer *trainer)
{
    const ex_federation *f = context;
    const ex_fit fit = {
        .data = &f->data->train, .samples = &f->clients[0], .epochs = 1, .batch_size = 2};
    return ex_trainer_prepare(trainer, &fit);
}

/* What is on the device once, whatever the number of lanes, is not counted for each of them. */
static void test_images_that_lanes_share_do_not_cost_lanes(void **state)
{
    (void)state;
    ex_federation *f;
    ex_config c = small_config(0);
    c.train_samples = 10000;
    ex_emulated_reset(1);
    ex_emulated_set_memory(MUCH);
    f = ex_test_federation(&c);
    assert_ok(ex_federation_lanes_with(f, prepare, f));
    assert_int_equal(f->lane_count, CLIENTS);
    const size_t all = ex_emulated_alive().device_bytes, lane = f->lane_bytes;
    const size_t images = f->data->train.count * 3 * 32 * 32;
    assert_true(2 * lane < images);
    ex_federation_close(&f);
    ex_emulated_reset(1);
    ex_emulated_set_memory(all + 2 * lane); /* for the server's lane, and for images to come */
    f = ex_test_federation(&c);
    assert_ok(ex_federation_lanes_with(f, prepare, f));
    assert_int_equal(f->lane_count, CLIENTS);
    ex_federation_close(&f);
    assert_string_equal(ex_emulated_leaks(), "");
}

/* Threads of a lane are the processor's. */
static void test_threads_do_not_divide_the_lanes_of_a_gpu(void **state)
{
    (void)state;
    ex_federation *f;
    ex_config c = small_config(0);
    c.threads_per_lane = 4;
    c.server.threads = 64;
    ex_emulated_reset(1);
    assert_ok(ex_federation_open(&f, &c));
    assert_int_equal(f->lane_count, CLIENTS);
    assert_int_equal(count_of("cores"), 0);
    ex_federation_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lanes_are_as_many_as_memory_holds, keep_what_is_logged,
                                        drop_what_is_logged),
        cmocka_unit_test_setup_teardown(test_a_number_of_lanes_that_does_not_fit_says_what_does,
                                        keep_what_is_logged, drop_what_is_logged),
        cmocka_unit_test_setup_teardown(test_images_that_lanes_share_do_not_cost_lanes,
                                        keep_what_is_logged, drop_what_is_logged),
        cmocka_unit_test_setup_teardown(test_threads_do_not_divide_the_lanes_of_a_gpu,
                                        keep_what_is_logged, drop_what_is_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
