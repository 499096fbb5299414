/* The whole of an unlearning run, from the trained model to the report. */
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "progress.h"
#include "record.h"
#include "select.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static ex_status check_effects(const ex_federation *f, const ex_effects *effects, int label)
{
    int row;
    EX_TRY(ex_effects_check_digest(NULL, effects->digest,
                                   ex_model_digest(f->model, f->params, f->stats)));
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

static ex_status write_effects(const ex_unlearning *u)
{
    return u->run && u->effects ? ex_effects_write(u->effects, ex_run_path(u->run, "effects.csv"))
                                : EX_OK;
}

static void warn_if_other(const char *key, const char *then, const char *now)
{
    if (strcmp(then, now) != 0)
        ex_log_warn("the effects given were measured with %s %s, where this run has %s; they are "
                    "taken as they are",
                    key, then, now);
}

/* A table that was measured otherwise than this run would may be given on purpose, or by mistake.
 */
static void warn_of_measurement(const ex_unlearning *u)
{
    const ex_effects *e = u->effects;
    const ex_config *c = &u->f->config;
    char then[32], now[32];
    warn_if_other("unlearn.ablate", ex_choice_name("unlearn.ablate", (int)e->ablation),
                  ex_config_choice(c, "unlearn.ablate"));
    if (e->precision >= 0)
        warn_if_other("precision", ex_choice_name("precision", e->precision),
                      ex_config_choice(c, "precision"));
    snprintf(then, sizeof then, "%d", e->probe[ex_effects_class_index(e, u->label)]);
    snprintf(now, sizeof now, "%zu", u->probe.count);
    warn_if_other("unlearn.probe", then, now);
    snprintf(then, sizeof then, "%" PRId64, e->seed);
    snprintf(now, sizeof now, "%" PRIu64, ex_config_unlearn_seed(c));
    if (e->seed >= 0)
        warn_if_other("unlearn.seed", then, now);
}

/* --- beginning and going on ---------------------------------------------------------------- */

static ex_status write_config(const ex_unlearning *u)
{
    return u->run ? ex_config_write(&u->f->config, ex_run_path(u->run, "config.yaml")) : EX_OK;
}

static ex_status begin(ex_unlearning *u, const ex_method *method)
{
    ex_federation *f = u->f;
    EX_TRY(write_config(u));
    u->digest = ex_model_digest(f->model, f->params, f->stats);
    u->earlier.unlearn = ex_ledger_cost(f->ledger, "unlearn");
    u->earlier.ablation = ex_ledger_cost(f->ledger, "ablation");
    if (!(u->began = ex_ledger_json(f->ledger)))
        return EX_FAIL(EX_ERR_MEMORY, "no memory for the ledger of before");
    ex_federation_halt(f);
    if (!method->needs_effects)
        u->effects = NULL;
    EX_TRY(write_effects(u));
    return ex_unlearning_checkpoint(u);
}

/* The run's own table, with what the file does not hold. */
static ex_status read_own_effects(ex_unlearning *u, const ex_effects_origin *origin)
{
    int i;
    EX_TRY(ex_effects_read(&u->own, u->f->model, u->digest, ex_run_path(u->run, "effects.csv")));
    EX_TRY(ex_effects_find_class(&i, u->own, u->label));
    u->own->baseline_loss[i] = origin->baseline_loss;
    u->effects = u->own;
    return EX_OK;
}

/* A refusal leaves the configuration as it was. */
static ex_status go_on(ex_unlearning *u)
{
    ex_effects_origin origin;
    EX_TRY(ex_unlearning_restore(u, &origin));
    u->effects = NULL;
    u->ablated = origin.measured;
    if (origin.measured || origin.given)
        EX_TRY(read_own_effects(u, &origin));
    return write_config(u);
}

static ex_status measure_before(ex_unlearning *u)
{
    if (u->before)
        return EX_OK;
    EX_TRY(ex_alloc(&u->before, 1, sizeof *u->before, "accuracies"));
    return ex_standing_measure(u->before, u->f);
}

/* --- the steps ----------------------------------------------------------------------------- */

/* A run that goes on has the mask that it began with, whatever became of its effects.csv. */
static ex_status check_mask(ex_unlearning *u)
{
    const uint64_t digest =
        ex_digest(EX_DIGEST_START, u->mask->selected, (size_t)u->f->model->channel_count);
    if (u->selected && u->selected != digest)
        return EX_FAIL(EX_ERR_INPUT,
                       "%s is another than the run began with: it selects other channels; put the "
                       "old one back, or start the run anew",
                       ex_run_path(u->run, "effects.csv"));
    u->selected = digest;
    return EX_OK;
}

/* Effects where the method needs them, then its mask. */
static ex_status prepare(ex_unlearning *u, const ex_method *method)
{
    if (method->needs_effects && !u->effects) {
        EX_TRY(ex_ablate(&u->own, u->f, u->label));
        u->effects = u->own;
        u->ablated = true;
        EX_TRY(ex_unlearning_checkpoint(u)); /* its record, before the table: see progress.c */
        EX_TRY(write_effects(u));
    }
    if (method->select)
        EX_TRY(method->select(u));
    if (!u->mask)
        return EX_OK;
    EX_TRY(check_mask(u));
    ex_log("%s: %d of %d channels, %zu of %zu parameters", method->name, u->mask->channel_count,
           u->f->model->channel_count, u->mask->param_count, u->f->model->param_count);
    return u->run ? ex_mask_write(u->mask, ex_run_path(u->run, "mask.json")) : EX_OK;
}

static ex_status run_method(ex_unlearning *u, const ex_method *method)
{
    ex_federation *f = u->f;
    EX_TRY(ex_ledger_begin(f->ledger, "unlearn"));
    f->seed = ex_config_unlearn_seed(&f->config);
    const ex_status status = method->run(u);
    f->seed = f->config.seed;
    ex_ledger_end(f->ledger);
    return status;
}

static ex_status make_report(json_t **report, const ex_unlearning *u, const ex_method *method)
{
    ex_standing after;
    ex_federation *f = u->f;
    ex_status status;
    EX_TRY_GOTO(ex_standing_measure(&after, f), done);
    const ex_report_input in = {
        .u = u,
        .method = method,
        .before = u->before,
        .after = &after,
        .unlearn = ex_ledger_since(f->ledger, "unlearn", u->earlier.unlearn),
        .ablation = ex_ledger_since(f->ledger, "ablation", u->earlier.ablation)};
    *report = ex_report_json(&in);
    if (!*report)
        status = EX_FAIL(EX_ERR_MEMORY, "no memory for the report");
    else if (u->run)
        status = ex_federation_results(f, u->run, *report);
done:
    ex_standing_free(&after);
    return status;
}

static void close_unlearning(ex_unlearning *u)
{
    if (u->before)
        ex_standing_free(u->before);
    ex_free(&u->before);
    ex_effects_destroy(&u->own);
    ex_mask_destroy(&u->mask);
    ex_samples_free(&u->probe);
    ex_free(&u->velocity);
    ex_free(&u->trace);
    json_decref(u->began);
}

static ex_status work(ex_unlearning *u, const ex_request *request, json_t **report)
{
    const ex_method *method = request->method;
    u->reported = ex_ledger_cost(u->f->ledger, "unlearn");
    EX_TRY(ex_probe_make(&u->probe, u->f, &u->label, 1, u->f->config.unlearn.probe));
    if (!request->resume && u->effects)
        warn_of_measurement(u);
    EX_TRY(measure_before(u));
    EX_TRY(prepare(u, method));
    EX_TRY(run_method(u, method));
    return make_report(report, u, method);
}

/* From a trained model, or a checkpoint, to the report. */
static ex_status unlearn(ex_unlearning *u, const ex_request *request, json_t **report)
{
    ex_federation *f = u->f;
    const ex_method *method = request->method;
    if (method->on_server && u->run)
        EX_TRY(ex_alloc(&u->velocity, f->model->param_count, sizeof(float), "momentum"));
    EX_TRY(request->resume ? go_on(u) : begin(u, method));
    const ex_status status = work(u, request, report);
    return u->run ? ex_run_failed(status) : status;
}

ex_status ex_unlearn_request(ex_federation *f, const ex_request *request, json_t **report)
{
    *report = NULL;
    EX_TRY(ex_unlearn_check(f, request->method, request->label,
                            request->resume ? NULL : request->effects));
    EX_CHECK_ARG(request->run || !request->resume, "a run that goes on has a folder");
    ex_unlearning u = {.f = f,
                       .unit = ex_method_unit(request->method),
                       .label = request->label,
                       .effects = request->effects,
                       .run = request->run};
    const ex_status status = unlearn(&u, request, report);
    if (status != EX_OK) {
        json_decref(*report);
        *report = NULL;
    }
    close_unlearning(&u);
    return status;
}

ex_status ex_unlearn(ex_federation *f, const ex_method *method, int label, ex_effects *effects,
                     ex_run *run, json_t **report)
{
    const ex_request request = {.method = method, .label = label, .effects = effects, .run = run};
    return ex_unlearn_request(f, &request, report);
}
