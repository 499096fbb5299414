/* The table of methods, and what they share while they run. */
#include "progress.h"

#include "base/log.h"
#include "base/memory.h"
#include "io/file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const ex_method *const methods[] = {
    &ex_method_ce, &ex_method_de, &ex_method_de_random, &ex_method_head, &ex_method_retrain, NULL};

const ex_method *const *ex_methods(void)
{
    return methods;
}

const char *ex_method_unit(const ex_method *method)
{
    return method->on_server ? "epoch" : "round";
}

ex_status ex_method_find(const ex_method **out, const char *name)
{
    char names[256] = "";
    for (int i = 0; methods[i]; i++) {
        if (strcmp(methods[i]->name, name) == 0) {
            *out = methods[i];
            return EX_OK;
        }
        ex_append(names, sizeof names, "%s%s", i ? ", " : "", methods[i]->name);
    }
    *out = NULL;
    return EX_FAIL(EX_ERR_USAGE, "there is no method \"%s\"; one of %s", name, names);
}

static ex_status evaluate(ex_unlearning *u, ex_trace_point *point)
{
    ex_federation *f = u->f;
    ex_status status;
    ex_accuracy test = {0}, probe = {0};
    EX_TRY_GOTO(ex_federation_evaluate(f, &f->data->test, NULL, &test), done);
    EX_TRY_GOTO(ex_federation_evaluate(f, &f->data->train, &u->probe, &probe), done);
    point->forget_test = ex_accuracy_class(&test, u->label);
    point->retain_test = ex_accuracy_others(&test, u->label);
    point->forget_probe = ex_accuracy_class(&probe, u->label);
done:
    ex_accuracy_free(&test);
    ex_accuracy_free(&probe);
    return status;
}

ex_status ex_unlearning_append(ex_unlearning *u, const ex_trace_point *point)
{
    EX_TRY(ex_grow(&u->trace, u->trace_count, &u->trace_room, 16, sizeof *u->trace, "trace"));
    u->trace[u->trace_count++] = *point;
    return EX_OK;
}

/* As in training, a line's costs are those of its own epoch or round. */
static ex_status write_metrics(ex_unlearning *u, const ex_trace_point *p)
{
    if (!u->run)
        return EX_OK;
    const ex_ledger *ledger = u->f->ledger;
    const ex_cost cost = ex_ledger_since(ledger, "unlearn", u->reported);
    u->reported = ex_ledger_cost(ledger, "unlearn");
    json_t *line =
        json_pack("{s:i, s:s, s:o, s:o, s:o, s:o, s:f, s:f, s:I, s:I, s:I}", "round", p->epoch,
                  "phase", "unlearn", "train_loss", ex_json_number(u->train_loss), "forget_test",
                  ex_json_number(p->forget_test), "retain_test", ex_json_number(p->retain_test),
                  "forget_probe", ex_json_number(p->forget_probe), "seconds", cost.compute_s,
                  "client_seconds", cost.client_s, "bytes_up", (json_int_t)cost.bytes_up,
                  "bytes_down", (json_int_t)cost.bytes_down, "samples", (json_int_t)cost.samples);
    if (!line)
        return EX_FAIL(EX_ERR_MEMORY, "no memory for a line of metrics.jsonl");
    return ex_run_metrics(u->run, line);
}

/* "-" where there was nothing to measure it on. */
static const char *share(char text[16], double value)
{
    snprintf(text, 16, isfinite(value) ? "%.4f" : "-", value);
    return text;
}

static void log_point(const char *unit, const ex_trace_point *p)
{
    char forget[16], retain[16], probe[16];
    ex_log("%s %d: forget %s, retain %s on test; forget %s on the probe set; %.2f s", unit,
           p->epoch, share(forget, p->forget_test), share(retain, p->retain_test),
           share(probe, p->forget_probe), p->seconds);
}

static ex_status trace(ex_unlearning *u, int epoch, double seconds, bool *stop)
{
    ex_trace_point point = {.epoch = epoch, .seconds = seconds};
    *stop = false;
    /* A phase of its own, so that its time is not the method's. */
    EX_TRY(ex_ledger_begin(u->f->ledger, "evaluate"));
    const ex_status status = evaluate(u, &point);
    ex_ledger_end(u->f->ledger);
    EX_TRY(status);
    EX_TRY(ex_unlearning_append(u, &point));
    log_point(u->unit, &point);
    EX_TRY(write_metrics(u, &point));
    ex_unlearning_standing(u, &seconds, stop);
    return ex_unlearning_checkpoint(u);
}

ex_status ex_unlearning_trace(ex_unlearning *u, int epoch, double seconds, bool *stop)
{
    ex_interrupt_hold(); /* an epoch or round whose training is complete is not lost */
    const ex_status status = trace(u, epoch, seconds, stop);
    ex_interrupt_release();
    return status;
}

void ex_unlearning_standing(const ex_unlearning *u, double *seconds, bool *stop)
{
    const ex_trace_point *last = u->trace_count ? &u->trace[u->trace_count - 1] : NULL;
    *seconds = last ? last->seconds : 0.0;
    *stop = last && last->forget_probe <= u->f->config.unlearn.stop_forget;
}
