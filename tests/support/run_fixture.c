#include "run_fixture.h"

#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char ex_test_run_folder[80];
float ex_test_run_params[EX_TEST_RUN_PARAMS], ex_test_run_stats[EX_TEST_RUN_STATS];

static char base[64]; /* the folder that it is in */

int ex_test_run_set_up(void **state)
{
    (void)state;
    snprintf(base, sizeof base, "/tmp/excise-run-XXXXXX");
    if (!mkdtemp(base))
        return -1;
    snprintf(ex_test_run_folder, sizeof ex_test_run_folder, "%s/run", base);
    return 0;
}

int ex_test_run_tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", base);
    return system(command);
}

const char *ex_test_run_path(const char *name)
{
    static char path[4][256];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", ex_test_run_folder, name);
    return p;
}

bool ex_test_run_has(const char *name)
{
    return access(ex_test_run_path(name), F_OK) == 0;
}

void ex_test_run_fill(int round)
{
    for (int i = 0; i < EX_TEST_RUN_PARAMS; i++)
        ex_test_run_params[i] = (float)(round * 10000 + i);
    for (int i = 0; i < EX_TEST_RUN_STATS; i++)
        ex_test_run_stats[i] = (float)(-round * 100 - i);
}

const ex_run_values ex_test_run_values = {.params = ex_test_run_params,
                                          .stats = ex_test_run_stats,
                                          .param_count = EX_TEST_RUN_PARAMS,
                                          .stat_count = EX_TEST_RUN_STATS};

ex_run *ex_test_run_open(ex_run_mode mode)
{
    ex_run *run;
    assert_ok(ex_run_open(&run, ex_test_run_folder, mode));
    return run;
}

void ex_test_run_checkpoint(ex_run *run, int round)
{
    ex_test_run_fill(round);
    json_t *state = json_pack("{s:i, s:s}", "round", round, "note", "kept");
    assert_ok(ex_run_checkpoint(run, &ex_test_run_values, state));
    json_decref(state);
}

int ex_test_run_restored(ex_run *run)
{
    json_t *state;
    memset(ex_test_run_params, 0, sizeof ex_test_run_params);
    memset(ex_test_run_stats, 0, sizeof ex_test_run_stats);
    assert_ok(ex_run_restore(run, &ex_test_run_values, &state));
    const int round = (int)json_integer_value(json_object_get(state, "round"));
    assert_string_equal(json_string_value(json_object_get(state, "note")), "kept");
    json_decref(state);
    for (int i = 0; i < EX_TEST_RUN_PARAMS; i++)
        assert_true(ex_test_run_params[i] == (float)(round * 10000 + i));
    for (int i = 0; i < EX_TEST_RUN_STATS; i++)
        assert_true(ex_test_run_stats[i] == (float)(-round * 100 - i));
    return round;
}
