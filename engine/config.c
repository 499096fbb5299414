/* The configuration as a whole: defaults, -s, rules between fields, config.yaml, the reference. */
#include "base/rng.h"
#include "config_fields.h"
#include "io/file.h"

#include <assert.h>
#include <stdlib.h>
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
    const char *meant = ex_field_suggest(key);
    if (meant)
        return EX_FAIL(EX_ERR_CONFIG, "%s: unknown key \"%.80s\"; did you mean \"%s\"?", origin,
                       key, meant);
    return EX_FAIL(EX_ERR_CONFIG, "%s: unknown key \"%.80s\"; `excise train --help` lists the keys",
                   origin, key);
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

static bool may_change(const ex_field *f, bool unlearning)
{
    const bool shapes_unlearning =
        strncmp(f->key, "unlearn.", 8) == 0 || strcmp(f->key, "rounds") == 0;
    return f->resumable && !(unlearning && shapes_unlearning);
}

ex_status ex_config_check_resume(const ex_config *before, const ex_config *now, bool unlearning)
{
    for (const ex_field *f = ex_fields(); f->key; f++) {
        char then[EX_TEXT_MAX], this[EX_TEXT_MAX];
        ex_field_format(before, f, then, sizeof then);
        ex_field_format(now, f, this, sizeof this);
        if (!may_change(f, unlearning) && strcmp(then, this) != 0)
            return EX_FAIL(EX_ERR_CONFIG,
                           "%s is \"%s\", but the run to resume began with \"%s\"; leave it as it "
                           "was, or start a new run",
                           f->key, this, then);
    }
    return EX_OK;
}

/* Text in double quotes, as JSON and YAML both read it. Escaped are also the characters that YAML
 * takes for ends of lines (U+2028, U+2029) or does not allow (U+FEFF, U+FFFE, U+FFFF). */
static void write_quoted(FILE *out, const char *text)
{
    static const struct {
        const char *bytes, *escape;
    } escapes[] = {
        {"\"", "\\\""},
        {"\\", "\\\\"},
        {"\xe2\x80\xa8", "\\u2028"},
        {"\xe2\x80\xa9", "\\u2029"},
        {"\xef\xbb\xbf", "\\ufeff"},
        {"\xef\xbf\xbe", "\\ufffe"},
        {"\xef\xbf\xbf", "\\uffff"},
    };
    enum { ESCAPES = sizeof escapes / sizeof *escapes };
    fputc('"', out);
    while (*text) {
        size_t i = 0;
        while (i < ESCAPES && strncmp(text, escapes[i].bytes, strlen(escapes[i].bytes)) != 0)
            i++;
        if (i < ESCAPES) {
            fputs(escapes[i].escape, out);
            text += strlen(escapes[i].bytes);
        } else {
            fputc(*text++, out);
        }
    }
    fputc('"', out);
}

/* Numbers and plain words go bare, other text in quotes. */
static void write_value(FILE *out, const ex_field *field, const char *text)
{
    static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./";
    const bool letter = (*text | 0x20) >= 'a' && (*text | 0x20) <= 'z';
    if (field->type != EX_FIELD_TEXT ||
        (letter && text[strspn(text, word)] == '\0' && strcmp(text, "null") != 0))
        fputs(text, out);
    else
        write_quoted(out, text);
}

static void write_yaml(FILE *out, const ex_config *c)
{
    fputs("# Resolved configuration of an excise run: every key.\n", out);
    char section[64] = "";
    for (const ex_field *f = ex_fields(); f->key; f++) {
        const char *dot = strchr(f->key, '.');
        const int length = dot ? (int)(dot - f->key) : 0;
        if (strlen(section) != (size_t)length || strncmp(section, f->key, (size_t)length) != 0) {
            snprintf(section, sizeof section, "%.*s", length, f->key);
            if (dot)
                fprintf(out, "%s:\n", section);
        }
        char text[EX_TEXT_MAX];
        ex_field_format(c, f, text, sizeof text);
        fprintf(out, "%s%s: ", dot ? "  " : "", dot ? dot + 1 : f->key);
        write_value(out, f, text);
        fprintf(out, "  # %s\n", f->help);
    }
}

ex_status ex_config_write(const ex_config *c, const char *path)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out)
        write_yaml(out, c);
    if (!out || fclose(out) != 0) {
        free(text);
        return EX_FAIL(EX_ERR_MEMORY, "%s: out of memory while writing", path);
    }
    const ex_status status = ex_file_write(path, text, bytes);
    free(text);
    return status;
}

void ex_config_print_reference(FILE *out, bool markdown)
{
    if (markdown)
        fputs("| key | accepts | default | meaning |\n| --- | --- | --- | --- |\n", out);
    for (const ex_field *f = ex_fields(); f->key; f++) {
        char accepts[512];
        ex_field_accepts(f, accepts, sizeof accepts);
        const char *initial = *f->default_text ? f->default_text : "\"\"";
        if (markdown)
            fprintf(out, "| `%s` | %s | `%s` | %s |\n", f->key, accepts, initial, f->help);
        else
            fprintf(out, "  %-28s %s\n  %28s %s; default %s\n", f->key, f->help, "", accepts,
                    initial);
    }
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
