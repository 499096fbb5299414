/* An unlearning run with its folder: what stays of it when it is stopped. */
#include "method.h"

#include <stdio.h>

/* Closes a run that did not succeed; the error stays what it was. */
static void stop(ex_run **run, ex_status status, const char *path, ex_run_mode mode, int *complete)
{
    json_t *state = NULL;
    char message[2048], where[256];
    snprintf(message, sizeof message, "%s", ex_error_message());
    snprintf(where, sizeof where, "%s", ex_error_where());
    const bool refused = ex_status_exit_code(status) == 2 || status == EX_ERR_NUMERIC;
    const bool resumed = mode == EX_RUN_RESUME;
    const bool kept = (!refused || resumed) && ex_run_peek(path, &state) == EX_OK;
    if (kept)
        *complete = (int)json_integer_value(json_object_get(state, "round"));
    json_decref(state);
    if (kept || resumed)
        ex_run_close(run);
    else
        ex_run_discard(run);
    ex_error_adopt(message, where);
}

ex_status ex_unlearn_into(ex_federation *f, const ex_request *request, const char *path,
                          ex_run_mode mode, json_t **report, int *complete)
{
    ex_request in = *request;
    ex_status status;
    *report = NULL;
    *complete = -1;
    EX_TRY(ex_run_open(&in.run, path, mode));
    EX_TRY_GOTO(ex_config_write(&f->config, ex_run_path(in.run, "config.yaml")), done);
    EX_TRY_GOTO(ex_unlearn_request(f, &in, report), done);
done:
    if (status != EX_OK)
        stop(&in.run, status, path, mode, complete);
    ex_run_close(&in.run);
    return status;
}
