/* An unlearning run with its folder: what stays of it when it is stopped. */
#include "method.h"

#include <unistd.h>

static bool has_effects(const ex_run *run)
{
    return access(ex_run_path(run, "effects.csv"), F_OK) == 0;
}

/* Whether anything in a new run's folder is worth keeping; so it is where that cannot be told.
 * `newest`: of its checkpoints. What was refused has none yet, and what diverged before an ablation
 * or an epoch was complete has nothing else. */
static bool is_worth_keeping(const ex_run *run, ex_status status, ex_status told, long newest)
{
    if (told != EX_OK)
        return true;
    return status == EX_ERR_NUMERIC ? newest > 0 || has_effects(run) : newest >= 0;
}

/* Closes a run that did not succeed; the error stays what it was. Nothing is read for that, which
 * the lack that stopped the run might forbid. */
static void stop(ex_run **run, ex_status status, const char *path, ex_run_mode mode, int *complete)
{
    ex_error error = ex_error_keep();
    long newest;
    const ex_status told = ex_run_newest(path, &newest);
    if (mode == EX_RUN_RESUME || is_worth_keeping(*run, status, told, newest)) {
        *complete = (int)newest;
        if (status == EX_ERR_NUMERIC && has_effects(*run))
            ex_append(error.message, sizeof error.message,
                      "; the effects are kept: begin again with `--effects %s/effects.csv -s "
                      "unlearn.lr=...`, into another folder or with --overwrite",
                      path);
        ex_run_close(run);
    } else {
        ex_run_discard(run);
    }
    ex_error_restore(&error);
}

ex_status ex_unlearn_into(ex_federation *f, const ex_request *request, const char *path,
                          ex_run_mode mode, json_t **report, int *complete)
{
    ex_request in = *request;
    ex_status status;
    *report = NULL;
    *complete = -1;
    EX_TRY(ex_run_open(&in.run, path, mode));
    status = ex_unlearn_request(f, &in, report);
    if (status != EX_OK)
        stop(&in.run, status, path, mode, complete);
    ex_run_close(&in.run);
    return status;
}
