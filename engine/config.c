/* The configuration as a whole: defaults, -s, rules between fields. */
#include "base/rng.h"
#include "config_fields.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void ex_config_default(ex_config *c)
{
    memset(c, 0, sizeof *c);
    for (const ex_field *f = ex_fields(); f->key; f++) {
        const ex_status status = ex_field_parse(c, f, f->default_text, "default");
        assert(status == EX_OK); /* the table's own text */
        (void)status;
    }
}

ex_status ex_config_set(ex_config *c, const char *assignment, const char *origin)
{
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment)
        return EX_FAIL(EX_ERR_CONFIG, "%s: \"%.80s\" is not key=value, such as lr=0.05", origin,
                       assignment);
    char key[128];
    snprintf(key, sizeof key, "%.*s", (int)(equals - assignment), assignment);
    const ex_field *field = ex_field_find(key);
    if (field)
        return ex_field_parse(c, field, equals + 1, origin);
    if (ex_field_is_section(key))
        return EX_FAIL(EX_ERR_CONFIG, "%s: %s is a section; name a key in it (%s.KEY=value)",
                       origin, key, key);
    return ex_field_unknown(key, origin);
}

ex_status ex_config_check(const ex_config *c)
{
    if (c->clients_per_round > c->num_clients)
        return EX_FAIL(EX_ERR_CONFIG,
                       "clients_per_round is %d, but num_clients is %d; take at most %d, or 0 for "
                       "all",
                       c->clients_per_round, c->num_clients, c->num_clients);
    if (c->train_samples > 0 && c->server.samples > c->train_samples)
        return EX_FAIL(EX_ERR_CONFIG,
                       "server.samples is %zu, but train_samples is %zu; take at most %zu",
                       c->server.samples, c->train_samples, c->train_samples);
    if (c->train_samples > 0 && !c->server.overlap && c->server.samples == c->train_samples)
        return EX_FAIL(EX_ERR_CONFIG,
                       "server.samples is %zu, which leaves the clients none of train_samples "
                       "while server.overlap is false; take fewer, or set server.overlap: true",
                       c->server.samples);
    /* Rounds of unlearning go on counting where training ended. */
    if (c->rounds > EX_RNG_ROUNDS - c->unlearn.rounds)
        return EX_FAIL(EX_ERR_CONFIG, "rounds is %d and unlearn.rounds %d; together at most %d",
                       c->rounds, c->unlearn.rounds, EX_RNG_ROUNDS);
    return EX_OK;
}

/* Whether the field can be read at all: its text ends, its choice is one, its list is no longer
 * than the room for it. */
static bool is_readable(const ex_config *c, const ex_field *f)
{
    const void *at = (const char *)c + f->offset;
    int choices = 0;
    switch (f->type) {
    case EX_FIELD_TEXT:
        return memchr(at, '\0', f->size) != NULL;
    case EX_FIELD_BOOL:
        return *(const unsigned char *)at <= 1;
    case EX_FIELD_CHOICE:
        while (f->choices[choices])
            choices++;
        return *(const int *)at >= 0 && *(const int *)at < choices;
    case EX_FIELD_REALS:
        return ((const ex_reals *)at)->count <= EX_CHANNELS_MAX;
    default:
        return true;
    }
}

ex_status ex_config_check_received(const ex_config *c, const char *origin)
{
    ex_config scratch;
    char text[EX_TEXT_MAX];
    for (const ex_field *f = ex_fields(); f->key; f++) {
        if (!is_readable(c, f))
            return EX_FAIL(EX_ERR_CONFIG, "%s: %s is no value of that key", origin, f->key);
        ex_field_format(c, f, text, sizeof text);
        EX_TRY(ex_field_parse(&scratch, f, text, origin));
    }
    return ex_config_check(c);
}

static bool may_change(const ex_field *f, bool unlearning)
{
    const bool shapes_unlearning =
        strncmp(f->key, "unlearn.", 8) == 0 || strcmp(f->key, "rounds") == 0;
    return f->resumable && !(unlearning && shapes_unlearning);
}

static ex_status check_same(const ex_field *f, const char *then, const ex_config *now)
{
    char this[EX_TEXT_MAX];
    ex_field_format(now, f, this, sizeof this);
    if (strcmp(then, this) != 0)
        return EX_FAIL(EX_ERR_CONFIG,
                       "%s is \"%s\", but the run to resume began with \"%s\"; leave it as it "
                       "was, or start a new run",
                       f->key, this, then);
    return EX_OK;
}

ex_status ex_config_check_resume(const ex_config *before, const ex_config *now, bool unlearning)
{
    for (const ex_field *f = ex_fields(); f->key; f++) {
        char then[EX_TEXT_MAX];
        ex_field_format(before, f, then, sizeof then);
        if (!may_change(f, unlearning))
            EX_TRY(check_same(f, then, now));
    }
    return EX_OK;
}

json_t *ex_config_kept(const ex_config *c, bool unlearning)
{
    json_t *kept = json_object();
    for (const ex_field *f = ex_fields(); kept && f->key; f++) {
        char text[EX_TEXT_MAX];
        ex_field_format(c, f, text, sizeof text);
        if (!may_change(f, unlearning) && json_object_set_new(kept, f->key, json_string(text)) != 0) {
            json_decref(kept);
            return NULL;
        }
    }
    return kept;
}

ex_status ex_config_check_kept(const json_t *kept, const ex_config *now, bool unlearning)
{
    for (const ex_field *f = ex_fields(); f->key; f++) {
        const char *then = json_string_value(json_object_get(kept, f->key));
        if (then && !may_change(f, unlearning))
            EX_TRY(check_same(f, then, now));
    }
    return EX_OK;
}

void ex_config_text(const ex_config *c, const char *key, char *text, size_t room)
{
    const ex_field *field = ex_field_find(key);
    assert(field);
    ex_field_format(c, field, text, room);
}

static const ex_field *find_choice_field(const char *key)
{
    const ex_field *field = ex_field_find(key);
    assert(field && field->type == EX_FIELD_CHOICE);
    return field;
}

const char *ex_choice_name(const char *key, int value)
{
    return find_choice_field(key)->choices[value];
}

const char *ex_config_choice(const ex_config *c, const char *key)
{
    const ex_field *field = find_choice_field(key);
    return field->choices[*(const int *)((const char *)c + field->offset)];
}
