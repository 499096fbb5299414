/* The state in a checkpoint of an unlearning run, as JSON, for the tiny model. What is taken up and
 * saved comes back the same from being taken up and saved again. Without a "round" that names a
 * file an input is none: fuzz_checkpoint.c has those. */
#include "fuzz.h"

#include "base/memory.h"
#include "progress.h"
#include "run_impl.h"

#include <stdlib.h>

enum { ROUNDS_MAX = 1000 };

/* What of a federation is read and written. One for the process; its ledger is made anew. */
static ex_federation *federation(void)
{
    static ex_federation f;
    if (!f.model) {
        f.model = (ex_model *)fuzz_model(); /* only read */
        const ex_device_options options = {.device = "cpu"};
        FUZZ_OK(ex_device_open(&f.device, &options));
        f.params = calloc(f.model->param_count, sizeof *f.params);
        f.stats = calloc(f.model->stat_count, sizeof *f.stats);
        FUZZ_CHECK(f.params && f.stats, "memory");
    }
    return &f;
}

static void close_unlearning(ex_unlearning *u)
{
    ex_ledger_destroy(&u->f->ledger);
    if (u->before)
        ex_standing_free(u->before);
    ex_free(&u->before);
    ex_free(&u->trace);
    json_decref(u->began);
}

static void check_taken(const ex_unlearning *u)
{
    FUZZ_CHECK(u->trace_count >= 0 && u->trace_count <= ROUNDS_MAX, "%d", u->trace_count);
    const ex_accuracy *a = u->before ? &u->before->test : NULL;
    for (int k = 0; a && k < a->classes; k++)
        FUZZ_CHECK(a->class_correct[k] <= a->class_count[k] && a->class_count[k] <= a->count,
                   "class %d", k);
}

/* Takes up what the run's checkpoint holds, saves it, and returns the state that was saved; NULL if
 * it was refused. */
static json_t *take_up(ex_run *run)
{
    ex_effects_origin origin;
    json_t *state = NULL;
    ex_unlearning u = {.f = federation(), .run = run, .unit = "epoch", .label = 1};
    FUZZ_OK(ex_ledger_create(&u.f->ledger));
    const ex_status status = ex_unlearning_restore(&u, &origin);
    fuzz_check_status(status, EX_ERR_INPUT);
    if (status == EX_OK) {
        check_taken(&u);
        FUZZ_OK(ex_unlearning_checkpoint(&u));
        FUZZ_OK(ex_run_peek(fuzz_path("run"), &state));
    }
    close_unlearning(&u);
    return state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static ex_run *run; /* of the process */
    fuzz_silence_log();
    json_t *state = json_loadb((const char *)data, size, 0, NULL);
    const json_t *round = json_object_get(state, "round");
    const json_int_t rounds = json_is_integer(round) ? json_integer_value(round) : -1;
    if (rounds < 0 || rounds > ROUNDS_MAX) {
        json_decref(state);
        return 0;
    }
    if (!run)
        FUZZ_OK(ex_run_open(&run, fuzz_path("run"), EX_RUN_OVERWRITE));
    (void)ex_run_prune_checkpoints(fuzz_path("run"), 0);
    const ex_federation *f = federation();
    const ex_run_values values = {.params = f->params,
                                  .stats = f->stats,
                                  .param_count = f->model->param_count,
                                  .stat_count = f->model->stat_count};
    FUZZ_OK(ex_run_checkpoint(run, &values, state));
    json_t *first = take_up(run);
    if (first) {
        json_t *second = take_up(run);
        FUZZ_CHECK(second && json_equal(first, second), "the state differs");
        json_decref(second);
    }
    json_decref(first);
    json_decref(state);
    return 0;
}
