/* The whole of an unlearning run, from the trained model to the report. */
#include "base/log.h"
#include "base/memory.h"
#include "io/file.h"
#include "io/model_file.h"
#include "report.h"
#include "select.h"

#include <inttypes.h>

static ex_status check_effects(const ex_federation *f, const ex_effects *effects, int label)
{
    const uint64_t digest = ex_model_digest(f->model, f->params, f->stats);
    if (effects->digest != digest)
        return EX_FAIL(EX_ERR_INPUT,
                       "the effects were measured on a model with digest %016" PRIx64
                       "; this one has %016" PRIx64 ": run `excise ablate` on it",
                       effects->digest, digest);
    int row;
    return ex_effects_find_class(&row, effects, label);
}

ex_status ex_unlearn_check(const ex_federation *f, const ex_method *method, int label,
                           const ex_effects *effects)
{
    ex_samples probe = {0};
    EX_CHECK_ARG(label >= 0 && label < f->model->classes, "class %d; %s has 0 to %d", label,
                 f->model->name, f->model->classes - 1);
    EX_TRY(ex_probe_make(&probe, f, &label, 1, f->config.unlearn.probe));
    ex_samples_free(&probe);
    EX_TRY(method->check(f, label));
    return method->needs_effects && effects ? check_effects(f, effects, label) : EX_OK;
}

/* Effects where the method needs them, then its mask. *own: effects that were made here. */
static ex_status prepare(ex_unlearning *u, const ex_method *method, ex_effects **own)
{
    if (method->needs_effects) {
        if (!u->effects) {
            EX_TRY(ex_ablate(own, u->f, u->label));
            u->effects = *own;
        }
        if (u->run)
            EX_TRY(ex_effects_write(u->effects, ex_run_path(u->run, "effects.csv")));
    } else {
        u->effects = NULL;
    }
    if (method->select)
        EX_TRY(method->select(u));
    if (!u->mask)
        return EX_OK;
    ex_log("%s: %d of %d channels, %zu of %zu parameters", method->name, u->mask->channel_count,
           u->f->model->channel_count, u->mask->param_count, u->f->model->param_count);
    return u->run ? ex_mask_write(u->mask, ex_run_path(u->run, "mask.json")) : EX_OK;
}

static ex_status run_method(ex_unlearning *u, const ex_method *method)
{
    EX_TRY(ex_ledger_begin(u->f->ledger, "unlearn"));
    const ex_status status = method->run(u);
    ex_ledger_end(u->f->ledger);
    return status;
}

static ex_status write_json(const ex_run *run, const char *name, json_t *value)
{
    return value ? ex_json_write(ex_run_path(run, name), value)
                 : EX_FAIL(EX_ERR_MEMORY, "no memory for %s", name);
}

/* report.json is written last: a folder that has one is complete. */
static ex_status write_run(const ex_run *run, const ex_federation *f, json_t *report)
{
    json_t *ledger = ex_ledger_json(f->ledger);
    ex_status status = ex_model_file_write(ex_run_path(run, "model.safetensors"), f->model,
                                           f->params, f->stats, f->batches, NULL);
    if (status == EX_OK)
        status = write_json(run, "ledger.json", ledger);
    if (status == EX_OK)
        status = ex_device_write_algorithms(f->device, ex_run_path(run, "algorithms.json"));
    if (status == EX_OK)
        status = write_json(run, "report.json", report);
    json_decref(ledger);
    return status;
}

ex_status ex_unlearn(ex_federation *f, const ex_method *method, int label, ex_effects *effects,
                     ex_run *run, json_t **report)
{
    *report = NULL;
    EX_TRY(ex_unlearn_check(f, method, label, effects));
    ex_status status;
    ex_unlearning u = {.f = f, .label = label, .effects = effects, .run = run};
    ex_standing before = {0}, after = {0};
    ex_effects *own = NULL;
    json_t *made = NULL;
    const ex_cost unlearn = ex_ledger_cost(f->ledger, "unlearn");
    const ex_cost ablation = ex_ledger_cost(f->ledger, "ablation");
    u.reported = unlearn;

    EX_TRY_GOTO(ex_probe_make(&u.probe, f, &label, 1, f->config.unlearn.probe), done);
    EX_TRY_GOTO(ex_standing_measure(&before, f), done);
    EX_TRY_GOTO(prepare(&u, method, &own), done);
    EX_TRY_GOTO(run_method(&u, method), done);
    EX_TRY_GOTO(ex_standing_measure(&after, f), done);

    const ex_report_input in = {.u = &u,
                                .method = method,
                                .ablated = own != NULL,
                                .before = &before,
                                .after = &after,
                                .unlearn = ex_ledger_since(f->ledger, "unlearn", unlearn),
                                .ablation = ex_ledger_since(f->ledger, "ablation", ablation)};
    made = ex_report_json(&in);
    if (!made)
        status = EX_FAIL(EX_ERR_MEMORY, "no memory for the report");
    else if (run)
        status = write_run(run, f, made);
    if (status == EX_OK) {
        *report = made;
        made = NULL;
    }
done:
    json_decref(made);
    ex_standing_free(&before);
    ex_standing_free(&after);
    ex_effects_destroy(&own);
    ex_mask_destroy(&u.mask);
    ex_samples_free(&u.probe);
    ex_free(&u.trace);
    return status;
}
