/* YAML into ex_config, by libyaml's events, so that every message can name its line. Only what a
 * configuration needs: maps of scalars and of short lists of numbers, one document, no anchors,
 * aliases or tags. */
#include "base/memory.h"
#include "config_fields.h"
#include "io/file.h"

#include <string.h>
#include <yaml.h>

enum { FILE_MAX = 1 << 20 /* bytes */, KEY_MAX = 128, FIELDS_MAX = 256 };

typedef struct reader {
    yaml_parser_t parser;
    const char *path;
    ex_config *config;
    size_t line[FIELDS_MAX]; /* where each field was set; 0 = not yet */
    char origin[EX_TEXT_MAX + 32];
} reader;

static const char *at(reader *r, size_t line)
{
    snprintf(r->origin, sizeof r->origin, "%.255s:%zu", r->path, line);
    return r->origin;
}

static const char *at_event(reader *r, const yaml_event_t *event)
{
    return at(r, event->start_mark.line + 1);
}

static ex_status next(reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event))
        return EX_OK;
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return EX_FAIL(EX_ERR_MEMORY, "%s: out of memory while reading", r->path);
    if (p->error == YAML_READER_ERROR) /* has no mark, only a byte offset */
        return EX_FAIL(EX_ERR_CONFIG, "%s: byte %zu: %s; UTF-8 text in YAML is expected", r->path,
                       p->problem_offset, p->problem);
    return EX_FAIL(EX_ERR_CONFIG, "%s: not valid YAML: %s%s%s", at(r, p->problem_mark.line + 1),
                   p->problem, p->context ? " " : "", p->context ? p->context : "");
}

/* Refuses what YAML has and a configuration does not. */
static ex_status check_plain(reader *r, const yaml_event_t *e)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (e->type == YAML_SCALAR_EVENT)
        anchor = e->data.scalar.anchor, tag = e->data.scalar.tag;
    else if (e->type == YAML_MAPPING_START_EVENT)
        anchor = e->data.mapping_start.anchor, tag = e->data.mapping_start.tag;
    if (e->type == YAML_ALIAS_EVENT || anchor)
        return EX_FAIL(EX_ERR_CONFIG,
                       "%s: anchors and aliases (& and *) are not accepted; write "
                       "the value out",
                       at_event(r, e));
    if (tag)
        return EX_FAIL(EX_ERR_CONFIG, "%s: tags (%s) are not accepted; leave the tag out",
                       at_event(r, e), (const char *)tag);
    return EX_OK;
}

/* The value of the field, as text; `e` is where it stands. */
static ex_status set_field(reader *r, const ex_field *field, const yaml_event_t *e,
                           const char *text)
{
    size_t *line = &r->line[field - ex_fields()];
    if (*line != 0)
        return EX_FAIL(EX_ERR_CONFIG, "%s: %s is set twice, first in line %zu; keep one",
                       at_event(r, e), field->key, *line);
    *line = e->start_mark.line + 1;
    return ex_field_parse(r->config, field, text, at_event(r, e));
}

static ex_status set_scalar(reader *r, const ex_field *field, const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value;
    if (strlen(text) != e->data.scalar.length)
        return EX_FAIL(EX_ERR_CONFIG, "%s: %s holds a NUL character", at_event(r, e), field->key);
    const bool plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (plain && (*text == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0)) {
        char accepts[512];
        ex_field_accepts(field, accepts, sizeof accepts);
        return EX_FAIL(EX_ERR_CONFIG, "%s: %s has no value; %s", at_event(r, e), field->key,
                       accepts);
    }
    return set_field(r, field, e, text);
}

/* What is no number, or hides one behind a comma or a NUL, must not reach the text of the list. */
static ex_status append_number(reader *r, const ex_field *field, char *text, size_t room,
                               const yaml_event_t *e)
{
    const char *number = (const char *)e->data.scalar.value;
    const size_t length = strspn(number, "0123456789+-.eE");
    if (length == 0 || length != e->data.scalar.length || strlen(text) + length + 4 > room)
        return EX_FAIL(EX_ERR_CONFIG, "%s: \"%.40s\" in %s is no number, or the list is too long",
                       at_event(r, e), number, field->key);
    ex_append(text, room, "%s%s", text[1] ? ", " : "", number);
    return EX_OK;
}

/* A list whose start is *start, as the text "[a, b]". */
static ex_status set_list(reader *r, const ex_field *field, const yaml_event_t *start)
{
    char text[EX_TEXT_MAX] = "[";
    for (bool end = false; !end;) {
        yaml_event_t e;
        EX_TRY(next(r, &e));
        ex_status status = check_plain(r, &e);
        end = e.type == YAML_SEQUENCE_END_EVENT;
        if (status == EX_OK && e.type == YAML_SCALAR_EVENT)
            status = append_number(r, field, text, sizeof text, &e);
        else if (status == EX_OK && !end)
            status =
                EX_FAIL(EX_ERR_CONFIG, "%s: %s is a list of numbers, without lists or maps in it",
                        at_event(r, &e), field->key);
        yaml_event_delete(&e);
        EX_TRY(status);
    }
    ex_append(text, sizeof text, "]");
    return set_field(r, field, start, text);
}

static ex_status read_map(reader *r, const char *prefix);

/* The value of `key`: a scalar for a field, a map for a section. */
static ex_status read_value(reader *r, const char *key, const yaml_event_t *key_event)
{
    const ex_field *field = ex_field_find(key);
    const bool section = ex_field_is_section(key);
    if (!field && !section)
        return ex_field_unknown(key, at_event(r, key_event));
    yaml_event_t e;
    EX_TRY(next(r, &e));
    ex_status status;
    EX_TRY_GOTO(check_plain(r, &e), done);
    if (field && e.type == YAML_SCALAR_EVENT) {
        status = set_scalar(r, field, &e);
    } else if (field && field->type == EX_FIELD_REALS && e.type == YAML_SEQUENCE_START_EVENT) {
        status = set_list(r, field, &e);
    } else if (section && e.type == YAML_MAPPING_START_EVENT) {
        status = read_map(r, key);
    } else if (section) {
        status = EX_FAIL(EX_ERR_CONFIG,
                         "%s: %s is a section; write its keys as an indented map "
                         "below it",
                         at_event(r, &e), key);
    } else {
        char accepts[512];
        ex_field_accepts(field, accepts, sizeof accepts);
        status =
            EX_FAIL(EX_ERR_CONFIG, "%s: %s is a %s; one value is expected, %s", at_event(r, &e),
                    key, e.type == YAML_SEQUENCE_START_EVENT ? "list" : "map", accepts);
    }
done:
    yaml_event_delete(&e);
    return status;
}

static ex_status read_entry(reader *r, const char *prefix, const yaml_event_t *e)
{
    EX_TRY(check_plain(r, e));
    if (e->type != YAML_SCALAR_EVENT)
        return EX_FAIL(EX_ERR_CONFIG, "%s: a key is expected, found a %s", at_event(r, e),
                       e->type == YAML_SEQUENCE_START_EVENT ? "list" : "map");
    const char *name = (const char *)e->data.scalar.value;
    if (strlen(name) != e->data.scalar.length)
        return EX_FAIL(EX_ERR_CONFIG, "%s: a key holds a NUL character", at_event(r, e));
    char key[KEY_MAX];
    snprintf(key, sizeof key, "%s%s%s", prefix, *prefix ? "." : "", name);
    return read_value(r, key, e);
}

/* Entries up to the end of the map whose start was just read. */
static ex_status read_map(reader *r, const char *prefix)
{
    for (;;) {
        yaml_event_t e;
        EX_TRY(next(r, &e));
        const bool end = e.type == YAML_MAPPING_END_EVENT;
        const ex_status status = end ? EX_OK : read_entry(r, prefix, &e);
        yaml_event_delete(&e);
        if (end || status != EX_OK)
            return status;
    }
}

/* The next event's type; the event itself is dropped unless it is an error. */
static ex_status skip(reader *r, yaml_event_type_t *type, size_t *line)
{
    yaml_event_t e;
    EX_TRY(next(r, &e));
    ex_status status = check_plain(r, &e);
    *type = e.type;
    *line = e.start_mark.line + 1;
    yaml_event_delete(&e);
    return status;
}

static ex_status read_document(reader *r)
{
    yaml_event_type_t type;
    size_t line;
    EX_TRY(skip(r, &type, &line)); /* stream start */
    EX_TRY(skip(r, &type, &line));
    if (type == YAML_STREAM_END_EVENT)
        return EX_FAIL(EX_ERR_CONFIG,
                       "%s: holds no configuration; keys such as \"dataset: "
                       "fashion-mnist\" are expected",
                       r->path);
    EX_TRY(skip(r, &type, &line));
    if (type != YAML_MAPPING_START_EVENT)
        return EX_FAIL(EX_ERR_CONFIG, "%s: a map of keys is expected (\"lr: 0.1\"), found %s",
                       at(r, line), type == YAML_SEQUENCE_START_EVENT ? "a list" : "plain text");
    EX_TRY(read_map(r, ""));
    EX_TRY(skip(r, &type, &line)); /* document end */
    EX_TRY(skip(r, &type, &line));
    if (type != YAML_STREAM_END_EVENT)
        return EX_FAIL(EX_ERR_CONFIG, "%s: a second document begins; one is expected", at(r, line));
    return EX_OK;
}

ex_status ex_config_read(ex_config *c, const char *path)
{
    ex_config result = *c; /* an error leaves *c as it was */
    reader r = {.path = path, .config = &result};
    char *text = NULL;
    size_t bytes = 0;
    EX_TRY(ex_file_read(&text, &bytes, path, FILE_MAX));
    ex_status status;
    if (yaml_parser_initialize(&r.parser)) {
        yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, bytes);
        status = read_document(&r);
        yaml_parser_delete(&r.parser);
    } else {
        status = EX_FAIL(EX_ERR_MEMORY, "%s: out of memory while reading", path);
    }
    ex_free(&text);
    if (status == EX_OK)
        *c = result;
    return status;
}
