#include "ledger.h"
#include "test.h"
#include "trainer.h" /* ex_lanes_run */

#include <string.h>
#include <time.h>

static ex_ledger *ledger;

static int open_ledger(void **state)
{
    (void)state;
    return ex_ledger_create(&ledger) != EX_OK;
}

static int close_ledger(void **state)
{
    (void)state;
    ex_ledger_destroy(&ledger);
    return ledger != NULL;
}

static void wait_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

/* A phase of two rounds with two clients; a whole example whose sums are known. */
static void record_two_rounds(void)
{
    assert_ok(ex_ledger_begin(ledger, "train"));
    for (int round = 0; round < 2; round++) {
        for (int client = 3; client <= 5; client += 2) {
            ex_ledger_message(ledger, "model", EX_DOWN, client, 1000);
            ex_ledger_message(ledger, "update", EX_UP, client, 900);
            ex_ledger_client(ledger, client, 0.25, 50);
        }
        ex_ledger_message(ledger, "mask", EX_DOWN, 3, 7);
        ex_ledger_compute(ledger, 0.4);
        ex_ledger_round(ledger);
    }
    ex_ledger_stored(ledger, 100, 78400);
    ex_ledger_end(ledger);
}

static json_t *phase_of(json_t *json, const char *name)
{
    json_t *phase;
    size_t i;
    json_array_foreach(json_object_get(json, "phases"), i,
                       phase) if (strcmp(json_string_value(json_object_get(phase, "name")), name) ==
                                  0) return phase;
    fail_msg("no phase %s", name);
    return NULL;
}

static json_int_t integer_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static void test_totals_are_the_sums_of_what_was_recorded(void **state)
{
    (void)state;
    record_two_rounds();
    const ex_cost c = ex_ledger_cost(ledger, "train");
    assert_int_equal(c.bytes_down, 2 * 2 * 1000 + 2 * 7);
    assert_int_equal(c.bytes_up, 2 * 2 * 900);
    assert_int_equal(c.samples, 2 * 2 * 50);
    assert_int_equal(c.rounds, 2);
    assert_int_equal(c.stored_samples, 100);
    assert_float_equal(c.client_s, 1.0, 1e-12);
    assert_float_equal(c.compute_s, 0.8, 1e-12);
    assert_true(c.wall_s > 0);
    const ex_cost none = ex_ledger_cost(ledger, "no such phase");
    assert_int_equal(none.rounds, 0);
}

static void test_file_holds_kinds_directions_and_clients(void **state)
{
    (void)state;
    record_two_rounds();
    json_t *json = ex_ledger_json(ledger), *train = phase_of(json, "train");
    assert_int_equal(integer_at(json, "schema"), 1);
    const json_t *bytes = json_object_get(train, "bytes");
    assert_int_equal(integer_at(json_object_get(bytes, "model"), "down"), 4000);
    assert_int_equal(integer_at(json_object_get(bytes, "model"), "up"), 0);
    assert_int_equal(integer_at(json_object_get(bytes, "update"), "up"), 3600);
    assert_int_equal(integer_at(json_object_get(bytes, "mask"), "down"), 14);
    const json_t *clients = json_object_get(train, "clients");
    assert_int_equal(json_array_size(clients), 2);
    assert_int_equal(integer_at(json_array_get(clients, 0), "client"), 3);
    assert_int_equal(integer_at(json_array_get(clients, 0), "bytes_down"), 2014);
    assert_int_equal(integer_at(json_array_get(clients, 1), "bytes_up"), 1800);
    assert_true(integer_at(train, "peak_memory_bytes") > 100000);
    json_decref(json);
}

/* Clients are recorded as lanes finish, in any order and with gaps. */
static void test_clients_are_listed_in_order_whatever_came_first(void **state)
{
    (void)state;
    static const int order[] = {900000, 7, 40, 0, 7, 41, 39, 900000};
    enum { RECORDS = sizeof order / sizeof *order, CLIENTS = 6 };
    static const struct {
        int client, samples;
    } expected[CLIENTS] = {{0, 8}, {7, 2 + 16}, {39, 64}, {40, 4}, {41, 32}, {900000, 1 + 128}};
    assert_ok(ex_ledger_begin(ledger, "train"));
    for (int i = 0; i < RECORDS; i++)
        ex_ledger_client(ledger, order[i], 1.0, (size_t)1 << i);
    for (int client = 100; client < 140; client++) /* the table grows */
        ex_ledger_client(ledger, client, 1.0, 1);
    json_t *json = ex_ledger_json(ledger);
    const json_t *clients = json_object_get(phase_of(json, "train"), "clients");
    assert_int_equal(json_array_size(clients), CLIENTS + 40);
    for (size_t i = 0; i < CLIENTS; i++) {
        const size_t row = expected[i].client < 100 ? i : i + 40;
        assert_int_equal(integer_at(json_array_get(clients, row), "client"), expected[i].client);
        assert_int_equal(integer_at(json_array_get(clients, row), "samples"), expected[i].samples);
    }
    json_decref(json);
}

static void test_what_was_not_measured_is_null(void **state)
{
    (void)state;
    assert_ok(ex_ledger_begin(ledger, "ablation"));
    json_t *json = ex_ledger_json(ledger), *phase = phase_of(json, "ablation");
    static const char *const keys[] = {"compute_s",    "client_s",          "stored_samples",
                                       "stored_bytes", "peak_memory_bytes", "joules"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        assert_non_null(json_object_get(phase, keys[i]));
        assert_true(json_is_null(json_object_get(phase, keys[i])));
    }
    assert_int_equal(integer_at(phase, "bytes_up"), 0); /* counted: none were sent */
    json_decref(json);
}

static void test_inner_phase_takes_costs_and_outer_wall_time_goes_on(void **state)
{
    (void)state;
    assert_ok(ex_ledger_begin(ledger, "train"));
    ex_ledger_compute(ledger, 1.0);
    assert_ok(ex_ledger_begin(ledger, "evaluate"));
    ex_ledger_compute(ledger, 2.0);
    wait_ms(20);
    ex_ledger_end(ledger);
    ex_ledger_compute(ledger, 4.0);
    ex_ledger_end(ledger);
    const ex_cost train = ex_ledger_cost(ledger, "train");
    assert_float_equal(train.compute_s, 5.0, 0);
    assert_float_equal(ex_ledger_cost(ledger, "evaluate").compute_s, 2.0, 0);
    assert_true(train.wall_s >= 0.02);
    wait_ms(5);
    assert_true(ex_ledger_cost(ledger, "train").wall_s == train.wall_s); /* it has ended */
    assert_ok(ex_ledger_begin(ledger, "train"));
    wait_ms(5);
    assert_true(ex_ledger_cost(ledger, "train").wall_s >= train.wall_s + 0.005);
    assert_status(ex_ledger_begin(ledger, "train"), EX_ERR_INTERNAL);
}

static void test_costs_outside_any_phase_are_not_lost(void **state)
{
    (void)state;
    ex_ledger_client(ledger, 0, 1.5, 10);
    assert_float_equal(ex_ledger_cost(ledger, "unassigned").client_s, 1.5, 0);
    char name[8] = "phase_a";
    for (int i = 0; i < 14; i++, name[6]++) {
        assert_ok(ex_ledger_begin(ledger, name));
        ex_ledger_end(ledger);
    }
    ex_ledger_client(ledger, -1, 9.0, 5); /* the server */
    assert_float_equal(ex_ledger_cost(ledger, "unassigned").client_s, 1.5, 0);
    assert_int_equal(ex_ledger_cost(ledger, "unassigned").samples, 15);
}

static void test_restored_ledger_equals_the_saved_one_and_goes_on(void **state)
{
    (void)state;
    record_two_rounds();
    ex_ledger_compute(ledger, 0.5);
    json_t *saved = ex_ledger_json(ledger);
    ex_ledger *other;
    assert_ok(ex_ledger_create(&other));
    ex_ledger_round(other); /* replaced */
    assert_ok(ex_ledger_restore(other, saved));
    json_t *again = ex_ledger_json(other);
    assert_true(json_equal(saved, again));
    json_decref(again);
    assert_ok(ex_ledger_begin(other, "train"));
    ex_ledger_round(other);
    assert_int_equal(ex_ledger_cost(other, "train").rounds, 3);
    assert_status(ex_ledger_restore(other, saved), EX_ERR_INTERNAL); /* a phase is open */
    ex_ledger_destroy(&other);
    json_decref(saved);
}

static void test_damaged_files_are_refused(void **state)
{
    (void)state;
    record_two_rounds();
    static const char *const keys[] = {"name",    "wall_s",  "compute_s",    "client_s",
                                       "samples", "rounds",  "bytes_up",     "bytes_down",
                                       "bytes",   "clients", "stored_bytes", "peak_memory_bytes"};
    for (size_t i = 0; i < 2 * sizeof keys / sizeof *keys; i++) {
        json_t *json = ex_ledger_json(ledger), *train = phase_of(json, "train");
        if (i % 2)
            json_object_del(train, keys[i / 2]);
        else
            json_object_set_new(train, keys[i / 2], json_integer(-1));
        ex_ledger *other;
        assert_ok(ex_ledger_create(&other));
        assert_status(ex_ledger_restore(other, json), EX_ERR_INPUT);
        assert_int_equal(ex_ledger_cost(other, "train").samples, 0);
        ex_ledger_destroy(&other);
        json_decref(json);
    }
    json_t *json = ex_ledger_json(ledger);
    json_object_set_new(phase_of(json, "train"), "samples", json_real(1.5)); /* counts are whole */
    assert_status(ex_ledger_restore(ledger, json), EX_ERR_INPUT);
    json_decref(json);
    record_two_rounds();
    json = ex_ledger_json(ledger);
    json_object_set_new(phase_of(json, "train"), "rounds", json_integer((json_int_t)1 << 32));
    assert_status(ex_ledger_restore(ledger, json), EX_ERR_INPUT);
    json_decref(json);
    record_two_rounds();
    json = ex_ledger_json(ledger);
    json_t *clients = json_object_get(phase_of(json, "train"), "clients");
    json_array_append(clients, json_array_get(clients, 0)); /* neither twice nor out of order */
    assert_status(ex_ledger_restore(ledger, json), EX_ERR_INPUT);
    json_decref(json);
    json = json_pack("{s:i,s:[]}", "schema", 2, "phases");
    assert_status(ex_ledger_restore(ledger, json), EX_ERR_INPUT);
    json_decref(json);
}

static ex_status record_client(void *context, int item, int lane)
{
    (void)context, (void)lane;
    ex_ledger_client(ledger, item, 1.0, 2);
    ex_ledger_message(ledger, "update", EX_UP, item, 3);
    return EX_OK;
}

static void test_lanes_may_record_at_once(void **state)
{
    (void)state;
    enum { CLIENTS = 3000 };
    assert_ok(ex_ledger_begin(ledger, "train"));
    assert_ok(ex_lanes_run(4, CLIENTS, record_client, NULL));
    const ex_cost c = ex_ledger_cost(ledger, "train");
    assert_int_equal(c.samples, 2 * CLIENTS);
    assert_int_equal(c.bytes_up, 3 * CLIENTS);
    assert_float_equal(c.client_s, CLIENTS, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_ledger, close_ledger)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_totals_are_the_sums_of_what_was_recorded),
        TEST(test_file_holds_kinds_directions_and_clients),
        TEST(test_clients_are_listed_in_order_whatever_came_first),
        TEST(test_what_was_not_measured_is_null),
        TEST(test_inner_phase_takes_costs_and_outer_wall_time_goes_on),
        TEST(test_costs_outside_any_phase_are_not_lost),
        TEST(test_restored_ledger_equals_the_saved_one_and_goes_on),
        TEST(test_damaged_files_are_refused),
        TEST(test_lanes_may_record_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
