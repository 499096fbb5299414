#include "report.h"

#include "base/memory.h"
#include "io/file.h"
#include "version.h"

#include <inttypes.h>
#include <stdio.h>

enum { LARGEST = 10, SCHEMA = 1 };

/* --- accuracy ------------------------------------------------------------------------------ */

ex_status ex_standing_measure(ex_standing *out, ex_federation *f)
{
    *out = (ex_standing){0};
    EX_TRY(ex_ledger_begin(f->ledger, "evaluate"));
    ex_status status = ex_federation_evaluate(f, &f->data->test, NULL, &out->test);
    if (status == EX_OK)
        status = ex_federation_evaluate(f, &f->data->train, NULL, &out->train);
    ex_ledger_end(f->ledger);
    return status;
}

void ex_standing_free(ex_standing *s)
{
    ex_accuracy_free(&s->test);
    ex_accuracy_free(&s->train);
}

static json_t *standing_json(const ex_standing *s, int label)
{
    json_t *per_class = json_array();
    for (int k = 0; k < s->test.classes; k++)
        json_array_append_new(per_class, ex_json_number(ex_accuracy_class(&s->test, k)));
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "forget_test",
                     ex_json_number(ex_accuracy_class(&s->test, label)), "retain_test",
                     ex_json_number(ex_accuracy_others(&s->test, label)), "forget_train",
                     ex_json_number(ex_accuracy_class(&s->train, label)), "retain_train",
                     ex_json_number(ex_accuracy_others(&s->train, label)), "per_class", per_class);
}

/* --- mask and effects ---------------------------------------------------------------------- */

/* null: every value may change. */
static json_t *mask_json(const ex_mask *mask)
{
    if (!mask)
        return json_null();
    const ex_model *m = mask->model;
    return json_pack("{s:i, s:i, s:I, s:I}", "channels_selected", mask->channel_count,
                     "channels_total", m->channel_count, "params_selected",
                     (json_int_t)mask->param_count, "params_total", (json_int_t)m->param_count);
}

json_t *ex_effects_top_json(const ex_effects *e, int class_index, int count)
{
    const ex_model *m = e->model;
    int *order;
    if (ex_alloc(&order, (size_t)m->channel_count, sizeof *order, "channels") != EX_OK)
        return NULL;
    json_t *top = NULL;
    if (ex_effects_rank(order, e, class_index, 0, m->channel_count) == EX_OK)
        top = json_array();
    for (int i = 0; top && i < count && i < m->channel_count; i++) {
        const ex_layer *layer = ex_model_layer_of(m, order[i]);
        json_array_append_new(top, json_pack("{s:s, s:i, s:f}", "layer", layer->name, "channel",
                                             order[i] - layer->first_channel, "effect",
                                             ex_effect(e, class_index, order[i])));
    }
    ex_free(&order);
    return top;
}

static json_t *effects_json(const ex_report_input *in)
{
    const ex_effects *e = in->u->effects;
    const int i = e ? ex_effects_class_index(e, in->u->label) : -1;
    if (i < 0)
        return json_null();
    const ex_config *c = &in->u->f->config;
    char digest[17];
    snprintf(digest, sizeof digest, "%016" PRIx64, e->digest);
    return json_pack(
        "{s:b, s:o, s:s, s:o, s:o, s:s, s:i, s:f, s:o, s:o}", "measured", in->u->ablated,
        "strategy",
        in->u->ablated ? json_string(ex_config_choice(c, "unlearn.strategy")) : json_null(),
        "ablate", ex_choice_name("unlearn.ablate", (int)e->ablation), "precision",
        e->precision < 0 ? json_null() : json_string(ex_choice_name("precision", e->precision)),
        "seed", e->seed < 0 ? json_null() : json_integer((json_int_t)e->seed), "digest", digest,
        "probe", e->probe[i], "baseline_accuracy", (double)e->baseline_correct[i] / e->probe[i],
        "baseline_loss", ex_json_number(e->baseline_loss[i]), "largest",
        ex_effects_top_json(e, i, LARGEST));
}

/* --- cost and trace ------------------------------------------------------------------------ */

static json_t *cost_json(const ex_report_input *in)
{
    const ex_cost *c = &in->unlearn;
    return json_pack("{s:f, s:f, s:o, s:I, s:I, s:I, s:i, s:I}", "compute_s", c->compute_s,
                     "client_s", c->client_s, "ablation_s",
                     in->u->ablated ? json_real(in->ablation.compute_s) : json_null(), "bytes_up",
                     (json_int_t)c->bytes_up, "bytes_down", (json_int_t)c->bytes_down,
                     "stored_samples", (json_int_t)in->u->stored_samples, "rounds", c->rounds,
                     "samples", (json_int_t)c->samples);
}

json_t *ex_trace_json(const ex_unlearning *u)
{
    json_t *trace = json_array();
    for (int i = 0; i < u->trace_count; i++) {
        const ex_trace_point *p = &u->trace[i];
        json_array_append_new(trace, json_pack("{s:i, s:o, s:o, s:o, s:f}", "epoch", p->epoch,
                                               "forget_test", ex_json_number(p->forget_test),
                                               "retain_test", ex_json_number(p->retain_test),
                                               "forget_probe", ex_json_number(p->forget_probe),
                                               "seconds", p->seconds));
    }
    return trace;
}

json_t *ex_report_json(const ex_report_input *in)
{
    const ex_unlearning *u = in->u;
    const ex_federation *f = u->f;
    const ex_config *c = &f->config;
    return json_pack("{s:i, s:s, s:o, s:s, s:i, s:o, s:o, s:I, s:I, s:s, s:s, s:s, s:s, s:o, s:o, "
                     "s:o, s:o, s:o, s:o}",
                     "schema", SCHEMA, "version", ex_version(), "libraries", ex_version_libraries(),
                     "method", in->method->name, "class", u->label, "class_name",
                     ex_json_word(ex_class_name(&f->data->names, u->label)), "delta",
                     in->method->uses_delta ? json_real(c->unlearn.delta) : json_null(), "seed",
                     (json_int_t)c->seed, "unlearn_seed", (json_int_t)ex_config_unlearn_seed(c),
                     "device", f->device->name, "precision", ex_config_choice(c, "precision"),
                     "model", f->model->name, "dataset", c->dataset, "before",
                     standing_json(in->before, u->label), "after",
                     standing_json(in->after, u->label), "mask", mask_json(u->mask), "effects",
                     effects_json(in), "cost", cost_json(in), "trace", ex_trace_json(u));
}
