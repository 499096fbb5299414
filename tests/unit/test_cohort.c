/* Who takes part in a round. */
#include "cohort.h"
#include "test.h"

#include <string.h>

enum { CLIENTS = 20 };

static void test_cohort_is_ascending_and_depends_on_seed_and_round_only(void **state)
{
    (void)state;
    ex_config c;
    ex_config_default(&c);
    c.num_clients = CLIENTS;
    c.clients_per_round = 5;
    ex_samples clients[CLIENTS];
    for (int k = 0; k < CLIENTS; k++)
        clients[k] = (ex_samples){.count = 1};
    int chosen[CLIENTS] = {0}, cohort[CLIENTS], again[CLIENTS], count, changes = 0;
    int before[5] = {0};
    for (int round = 0; round < 200; round++) {
        assert_ok(ex_cohort(cohort, &count, &c, 1, clients, round));
        assert_int_equal(count, 5);
        assert_ok(ex_cohort(again, &count, &c, 1, clients, round));
        assert_memory_equal(cohort, again, 5 * sizeof *cohort);
        for (int i = 0; i < 5; i++) {
            chosen[cohort[i]]++;
            assert_true(i == 0 || cohort[i] > cohort[i - 1]);
        }
        changes += memcmp(before, cohort, sizeof before) != 0;
        memcpy(before, cohort, sizeof before);
    }
    assert_true(changes > 190);
    for (int k = 0; k < CLIENTS; k++) /* mean 50, deviation 6 */
        assert_in_range(chosen[k], 20, 80);
}

static void test_clients_without_samples_sit_out(void **state)
{
    (void)state;
    ex_config c;
    ex_config_default(&c);
    c.num_clients = 4;
    const ex_samples clients[4] = {{.count = 1}, {.count = 0}, {.count = 2}, {.count = 0}};
    int cohort[4], count;
    c.clients_per_round = 0;
    assert_ok(ex_cohort(cohort, &count, &c, 1, clients, 0));
    assert_int_equal(count, 2);
    assert_int_equal(cohort[0], 0);
    assert_int_equal(cohort[1], 2);
    c.clients_per_round = 4;
    assert_ok(ex_cohort(cohort, &count, &c, 1, clients, 0));
    assert_int_equal(count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cohort_is_ascending_and_depends_on_seed_and_round_only),
        cmocka_unit_test(test_clients_without_samples_sit_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
