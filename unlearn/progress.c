/* What a checkpoint of an unlearning run holds beside the values, and how a run takes it up again.
 *
 * {"round", "command", "digest", "batches", "ledger", "earlier", "effects": {"measured",
 *  "baseline_loss"}, "selected", "before": {"test", "train"}, "trace": [...]}; effects, selected
 * (the mask's digest) and before are null until they are there; earlier is the ledger of before. */
#include "progress.h"
#include "record.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "io/file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DIGEST_DIGITS = 16 };

/* --- writing ------------------------------------------------------------------------------- */

static json_t *counts_json(const size_t *counts, int count)
{
    json_t *json = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(json, json_integer((json_int_t)counts[i]));
    return json;
}

static json_t *accuracy_json(const ex_accuracy *a)
{
    return json_pack("{s:o, s:o, s:o}", "correct", counts_json(a->class_correct, a->classes),
                     "count", counts_json(a->class_count, a->classes), "loss",
                     ex_json_number(a->loss));
}

static json_t *before_json(const ex_standing *before)
{
    if (!before)
        return json_null();
    return json_pack("{s:o, s:o}", "test", accuracy_json(&before->test), "train",
                     accuracy_json(&before->train));
}

static json_t *effects_json(const ex_unlearning *u)
{
    const int i = u->effects ? ex_effects_class_index(u->effects, u->label) : -1;
    if (i < 0)
        return json_null();
    return json_pack("{s:b, s:o}", "measured", u->ablated, "baseline_loss",
                     ex_json_number(u->effects->baseline_loss[i]));
}

static json_t *digest_json(uint64_t digest)
{
    char text[DIGEST_DIGITS + 1];
    snprintf(text, sizeof text, "%0*" PRIx64, DIGEST_DIGITS, digest);
    return json_string(text);
}

static json_t *state_json(const ex_unlearning *u)
{
    return json_pack("{s:i, s:s, s:o, s:I, s:o, s:O?, s:o, s:o, s:o, s:o}", "round", u->trace_count,
                     "command", "unlearn", "digest", digest_json(u->digest), "batches",
                     (json_int_t)u->f->batches, "ledger", ex_ledger_json(u->f->ledger), "earlier",
                     u->began, "effects", effects_json(u), "selected",
                     u->selected ? digest_json(u->selected) : json_null(), "before",
                     before_json(u->before), "trace", ex_trace_json(u));
}

/* Of the server's own training, or of the rounds. */
static float *momentum_of(const ex_unlearning *u)
{
    return u->velocity ? u->velocity : u->f->velocity;
}

ex_status ex_unlearning_checkpoint(const ex_unlearning *u)
{
    return u->run ? ex_federation_checkpoint(u->f, u->run, momentum_of(u), state_json(u)) : EX_OK;
}

/* --- reading ------------------------------------------------------------------------------- */

static double number_or_nan(const json_t *json)
{
    return json_is_number(json) ? json_number_value(json) : NAN;
}

/* *out = a whole number from 0 to `most`; false for anything else. */
static bool read_count(size_t *out, const json_t *json, size_t most)
{
    const json_int_t value = json_is_integer(json) ? json_integer_value(json) : -1;
    *out = value < 0 ? 0 : (size_t)value;
    return value >= 0 && *out <= most;
}

static ex_status read_accuracy(ex_accuracy *a, const json_t *json, int classes)
{
    const json_t *correct = json_object_get(json, "correct"),
                 *count = json_object_get(json, "count");
    if (json_array_size(correct) != (size_t)classes || json_array_size(count) != (size_t)classes)
        return EX_FAIL(EX_ERR_INPUT, "the checkpoint's accuracies are not of %d classes", classes);
    a->classes = classes;
    EX_TRY(ex_alloc(&a->class_correct, (size_t)classes, sizeof(size_t), "class counts"));
    EX_TRY(ex_alloc(&a->class_count, (size_t)classes, sizeof(size_t), "class counts"));
    for (int k = 0; k < classes; k++) {
        if (!read_count(&a->class_count[k], json_array_get(count, (size_t)k), UINT32_MAX) ||
            !read_count(&a->class_correct[k], json_array_get(correct, (size_t)k),
                        a->class_count[k]))
            return EX_FAIL(EX_ERR_INPUT,
                           "the checkpoint's accuracy on class %d is no number of samples", k);
        a->correct += a->class_correct[k];
        a->count += a->class_count[k];
    }
    a->loss = number_or_nan(json_object_get(json, "loss"));
    return EX_OK;
}

static ex_status read_before(ex_unlearning *u, const json_t *json)
{
    const int classes = u->f->model->classes;
    if (!json_is_object(json))
        return EX_OK;
    EX_TRY(ex_alloc(&u->before, 1, sizeof *u->before, "accuracies"));
    EX_TRY(read_accuracy(&u->before->test, json_object_get(json, "test"), classes));
    return read_accuracy(&u->before->train, json_object_get(json, "train"), classes);
}

static ex_status read_trace(ex_unlearning *u, const json_t *trace)
{
    const json_t *point;
    size_t i;
    json_array_foreach(trace, i, point)
    {
        size_t epoch;
        if (!read_count(&epoch, json_object_get(point, "epoch"), EX_RNG_ROUNDS) ||
            !json_is_number(json_object_get(point, "seconds")))
            return EX_FAIL(EX_ERR_INPUT, "entry %zu of the checkpoint's trace is none", i);
        const ex_trace_point p = {
            .epoch = (int)epoch,
            .forget_test = number_or_nan(json_object_get(point, "forget_test")),
            .retain_test = number_or_nan(json_object_get(point, "retain_test")),
            .forget_probe = number_or_nan(json_object_get(point, "forget_probe")),
            .seconds = number_or_nan(json_object_get(point, "seconds"))};
        EX_TRY(ex_unlearning_append(u, &p));
    }
    return EX_OK;
}

/* The record of an ablation is written before effects.csv, so that a table never lacks its record.
 * A record without its table is of an ablation that is made again, and its cost goes; behind the
 * first epoch or round it would be an ablation of another model. */
static ex_status read_origin(ex_effects_origin *origin, const ex_unlearning *u, json_t *state)
{
    const json_t *effects = json_object_get(state, "effects");
    *origin = (ex_effects_origin){.baseline_loss =
                                      number_or_nan(json_object_get(effects, "baseline_loss"))};
    if (!json_is_object(effects))
        return EX_OK;
    const bool measured = json_is_true(json_object_get(effects, "measured"));
    const bool there = access(ex_run_path(u->run, "effects.csv"), F_OK) == 0;
    origin->measured = measured && there;
    origin->given = !measured;
    if (!measured || there)
        return EX_OK;
    if (ex_run_state_round(state) > 0)
        return EX_FAIL(EX_ERR_INPUT,
                       "%s is gone, by which the run chose its channels; put it back, or start the "
                       "run anew",
                       ex_run_path(u->run, "effects.csv"));
    json_t *phases = json_object_get(json_object_get(state, "ledger"), "phases");
    for (size_t i = json_array_size(phases); i-- > 0;) {
        const json_t *name = json_object_get(json_array_get(phases, i), "name");
        if (json_is_string(name) && strcmp(json_string_value(name), "ablation") == 0)
            json_array_remove(phases, i);
    }
    return EX_OK;
}

/* What other requests cost before the run began; nothing where that is not told. */
static ex_status read_earlier(ex_unlearning *u, json_t *json)
{
    ex_ledger *ledger;
    if (!json_is_object(json))
        return EX_OK;
    u->began = json_incref(json);
    EX_TRY(ex_ledger_create(&ledger));
    const ex_status status = ex_ledger_restore(ledger, json);
    u->earlier.unlearn = ex_ledger_cost(ledger, "unlearn");
    u->earlier.ablation = ex_ledger_cost(ledger, "ablation");
    ex_ledger_destroy(&ledger);
    return status;
}

static ex_status read_digest(uint64_t *out, const json_t *json, const char *where)
{
    const char *text = json_string_value(json);
    const size_t digits = text ? strspn(text, "0123456789abcdef") : 0;
    if (digits != DIGEST_DIGITS || text[digits])
        return EX_FAIL(
            EX_ERR_INPUT,
            "%s: a checkpoint of `excise unlearn` is expected, whose state has a digest of "
            "%d hexadecimal digits",
            where, DIGEST_DIGITS);
    *out = strtoull(text, NULL, 16);
    return EX_OK;
}

ex_status ex_unlearning_digest(uint64_t *digest, const json_t *state, const char *where)
{
    return read_digest(digest, json_object_get(state, "digest"), where);
}

static ex_status take_up(ex_unlearning *u, json_t *state, ex_effects_origin *origin)
{
    const json_t *batches = json_object_get(state, "batches");
    const int complete = ex_run_state_round(state);
    const json_t *selected = json_object_get(state, "selected");
    EX_TRY(ex_unlearning_digest(&u->digest, state, ex_run_path(u->run, "checkpoint")));
    if (selected && !json_is_null(selected))
        EX_TRY(read_digest(&u->selected, selected, ex_run_path(u->run, "checkpoint")));
    if (!json_is_integer(batches))
        return EX_FAIL(EX_ERR_INPUT, "the checkpoint's batches are no whole number");
    u->f->batches = json_integer_value(batches);
    EX_TRY(read_origin(origin, u, state));
    EX_TRY(read_earlier(u, json_object_get(state, "earlier")));
    EX_TRY(ex_ledger_restore(u->f->ledger, json_object_get(state, "ledger")));
    EX_TRY(read_before(u, json_object_get(state, "before")));
    EX_TRY(read_trace(u, json_object_get(state, "trace")));
    if (complete != u->trace_count)
        return EX_FAIL(EX_ERR_INPUT, "the checkpoint of round %d traces %d", complete,
                       u->trace_count);
    ex_log("going on after %s %d", u->unit, complete);
    return EX_OK;
}

ex_status ex_unlearning_restore(ex_unlearning *u, ex_effects_origin *origin)
{
    const ex_run_values values = ex_federation_values(u->f, momentum_of(u));
    json_t *state;
    EX_TRY(ex_run_restore(u->run, &values, &state));
    const ex_status status = take_up(u, state, origin);
    json_decref(state);
    return status;
}
