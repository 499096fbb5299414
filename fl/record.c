#include "record.h"

#include "io/file.h"
#include "io/model_file.h"

#include <string.h>

ex_run_values ex_federation_values(const ex_federation *f, float *velocity)
{
    return (ex_run_values){.params = f->params,
                           .stats = f->stats,
                           .velocity = velocity,
                           .param_count = f->model->param_count,
                           .stat_count = f->model->stat_count};
}

/* What the run must not be resumed with anything else than. */
static ex_status keep_config(json_t *state, const ex_config *c)
{
    const char *command = ex_run_state_command(state);
    json_t *kept = ex_config_kept(c, command && strcmp(command, "unlearn") == 0);
    if (json_object_set_new(state, "config", kept) != 0)
        return EX_FAIL(EX_ERR_MEMORY, "no memory for the configuration in a checkpoint");
    return EX_OK;
}

ex_status ex_federation_checkpoint(const ex_federation *f, ex_run *run, float *velocity,
                                   json_t *state)
{
    const ex_run_values values = ex_federation_values(f, velocity);
    ex_status status = ex_device_write_algorithms(f->device, ex_run_path(run, "algorithms.json"));
    if (status == EX_OK)
        status = state ? keep_config(state, &f->config)
                       : EX_FAIL(EX_ERR_MEMORY, "no memory for the state of a checkpoint");
    if (status == EX_OK)
        status = ex_run_checkpoint(run, &values, state);
    json_decref(state);
    return status;
}

void ex_federation_stored(const ex_federation *f, size_t samples)
{
    const ex_dataset *d = &f->data->train;
    const size_t image = (size_t)d->channels * (size_t)d->height * (size_t)d->width;
    ex_ledger_stored(f->ledger, samples, samples * (image + sizeof *d->labels));
}

ex_status ex_federation_results(const ex_federation *f, const ex_run *run, const json_t *report)
{
    EX_TRY(ex_model_file_write(ex_run_path(run, "model.safetensors"), f->model, f->params, f->stats,
                               f->batches, NULL));
    EX_TRY(ex_device_write_algorithms(f->device, ex_run_path(run, "algorithms.json")));
    json_t *ledger = ex_ledger_json(f->ledger);
    const ex_status status = ex_json_write(ex_run_path(run, "ledger.json"), ledger);
    json_decref(ledger);
    EX_TRY(status);
    return ex_json_write(ex_run_path(run, "report.json"), report);
}
