/* libexcise: what a session does with its model. */
#include "session_impl.h"

#include "base/memory.h"
#include "io/file.h"
#include "method.h"

#include <stdio.h>
#include <string.h>

/* --- accuracy ------------------------------------------------------------------------------ */

static ex_status evaluate(excise_session *s, excise_samples samples, ex_accuracy *a)
{
    const ex_data *data = s->f->data;
    EX_CHECK_ARG(samples == EXCISE_TEST || samples == EXCISE_TRAIN,
                 "excise_evaluate: samples is %d; EXCISE_TEST or EXCISE_TRAIN is expected",
                 (int)samples);
    return ex_federation_evaluate(s->f, samples == EXCISE_TEST ? &data->test : &data->train, NULL,
                                  a);
}

excise_status excise_evaluate(excise_session *session, excise_samples samples, double *accuracy,
                              double *loss, double *per_class)
{
    ex_accuracy a = {0};
    const ex_caller host = ex_caller_enter();
    const ex_status status = evaluate(session, samples, &a);
    if (status == EX_OK && accuracy)
        *accuracy = ex_accuracy_all(&a);
    if (status == EX_OK && loss)
        *loss = a.loss;
    for (int k = 0; status == EX_OK && per_class && k < a.classes; k++)
        per_class[k] = ex_accuracy_class(&a, k);
    ex_accuracy_free(&a);
    return ex_caller_leave(&host, status);
}

/* --- effects ------------------------------------------------------------------------------- */

static ex_status check_label(const excise_session *s, int label)
{
    EX_CHECK_ARG(label >= 0 && label < s->f->model->classes, "class %d; %s has 0 to %d", label,
                 s->f->model->name, s->f->model->classes - 1);
    return EX_OK;
}

static void copy_effects(excise_effect *out, const ex_effects *e, int row)
{
    const ex_model *m = e->model;
    for (int c = 0; c < m->channel_count; c++) {
        const ex_layer *layer = ex_model_layer_of(m, c);
        out[c] = (excise_effect){
            .layer = layer->name,
            .channel = c - layer->first_channel,
            .effect = ex_effect(e, row, c),
            .loss_delta = e->loss_delta[(size_t)row * (size_t)m->channel_count + (size_t)c]};
    }
}

static ex_status measure(excise_session *s, int label, excise_effect *out)
{
    int row;
    EX_TRY(check_label(s, label));
    if (!s->effects || ex_effects_class_index(s->effects, label) < 0) {
        ex_effects_destroy(&s->effects);
        EX_TRY(ex_ablate(&s->effects, s->f, label));
    }
    EX_TRY(ex_effects_find_class(&row, s->effects, label));
    copy_effects(out, s->effects, row);
    return EX_OK;
}

excise_status excise_effects(excise_session *session, int label, excise_effect *effects)
{
    const ex_caller host = ex_caller_enter();
    return ex_caller_leave(&host, measure(session, label, effects));
}

/* --- unlearning ---------------------------------------------------------------------------- */

/* What a failed unlearning goes back to. */
typedef struct backup {
    ex_config config;
    float *params, *stats;
    int64_t batches;
} backup;

static ex_status keep(backup *b, const ex_federation *f)
{
    const ex_model *m = f->model;
    b->config = f->config;
    b->batches = f->batches;
    EX_TRY(ex_alloc(&b->params, m->param_count, sizeof(float), "copy of the model"));
    EX_TRY(ex_alloc(&b->stats, m->stat_count, sizeof(float), "copy of the model"));
    memcpy(b->params, f->params, m->param_count * sizeof(float));
    memcpy(b->stats, f->stats, m->stat_count * sizeof(float));
    return EX_OK;
}

static void go_back(ex_federation *f, const backup *b)
{
    f->config = b->config;
    f->batches = b->batches;
    memcpy(f->params, b->params, f->model->param_count * sizeof(float));
    memcpy(f->stats, b->stats, f->model->stat_count * sizeof(float));
}

static ex_effects *known_effects(const excise_session *s, int label)
{
    return s->effects && ex_effects_class_index(s->effects, label) >= 0 ? s->effects : NULL;
}

static ex_status check_request(const excise_session *s, const ex_request *request,
                               const char *folder)
{
    EX_TRY(ex_unlearn_check(s->f, request->method, request->label, request->effects));
    return folder ? ex_subject_check_output(&s->subject, folder) : EX_OK;
}

static ex_status run_request(ex_federation *f, const ex_request *request, const char *folder,
                             char **text)
{
    json_t *report = NULL;
    int complete;
    ex_status status = folder ? ex_unlearn_into(f, request, folder, EX_RUN_NEW, &report, &complete)
                              : ex_unlearn_request(f, request, &report);
    if (status == EX_OK && text)
        status = ex_json_text(text, report, JSON_INDENT(2), "the report");
    json_decref(report);
    return status;
}

static ex_status unlearn(excise_session *s, const char *name, int label, const char *folder,
                         char **text)
{
    ex_federation *f = s->f;
    ex_request request = {.label = label, .effects = known_effects(s, label)};
    backup before = {0};
    ex_status status;
    EX_CHECK_ARG(name, "excise_unlearn: the name of a method is expected, not NULL");
    EX_TRY(ex_method_find(&request.method, name));
    EX_TRY(check_request(s, &request, folder));
    EX_TRY_GOTO(keep(&before, f), done);
    snprintf(f->config.unlearn.method, sizeof f->config.unlearn.method, "%s", name);
    f->config.unlearn.class_label = label;
    status = run_request(f, &request, folder, text);
    if (status == EX_OK)
        ex_effects_destroy(&s->effects); /* of a model that is gone */
    else
        go_back(f, &before);
done:
    ex_free(&before.params);
    ex_free(&before.stats);
    return status;
}

excise_status excise_unlearn(excise_session *session, const char *method, int label,
                             const char *folder, char **report)
{
    if (report)
        *report = NULL;
    const ex_caller host = ex_caller_enter();
    return ex_caller_leave(&host, unlearn(session, method, label, folder, report));
}
