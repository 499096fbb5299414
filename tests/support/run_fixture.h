/* A run folder for tests, with a model of a thousand values. */
#ifndef EX_RUN_FIXTURE_H
#define EX_RUN_FIXTURE_H

#include "run.h"

enum { EX_TEST_RUN_PARAMS = 1000, EX_TEST_RUN_STATS = 10 };

extern char ex_test_run_folder[80];
extern float ex_test_run_params[EX_TEST_RUN_PARAMS], ex_test_run_stats[EX_TEST_RUN_STATS];
extern const ex_run_values ex_test_run_values; /* of these, without velocity */

/* Before and after each test: the folder does not exist yet. */
int ex_test_run_set_up(void **state);
int ex_test_run_tear_down(void **state);
/* Path of `name` in it; the last four stay valid. */
const char *ex_test_run_path(const char *name);
bool ex_test_run_has(const char *name);
ex_run *ex_test_run_open(ex_run_mode mode);
/* Values that name the round. */
void ex_test_run_fill(int round);
/* A checkpoint of such values. */
void ex_test_run_checkpoint(ex_run *run, int round);
/* Restores and returns the round of the state, having compared every value. */
int ex_test_run_restored(ex_run *run);

#endif
