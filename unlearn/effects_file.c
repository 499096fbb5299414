/* effects.csv, written and read.
 *
 * A `#` line says what was measured on what; then a header; then a row a class and channel. Reading
 * takes the rows in any order (tables get sorted in spreadsheets) but each exactly once. */
#include "base/memory.h"
#include "effects_impl.h"
#include "io/file.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HEADER "class,layer,channel,effect,correct,probe,baseline_correct,loss_delta"

enum { BYTES_MAX = 1 << 28 };
enum { CLASS, LAYER, CHANNEL, EFFECT, CORRECT, PROBE, BASELINE_CORRECT, LOSS_DELTA, FIELDS };

/* --- writing ------------------------------------------------------------------------------- */

static ex_status write_row(ex_file *file, const ex_effects *e, int class_index, int layer,
                           int channel)
{
    const ex_layer *l = &e->model->layers[layer];
    const int flat = l->first_channel + channel;
    const size_t cell = (size_t)class_index * (size_t)e->model->channel_count + (size_t)flat;
    char line[EX_EFFECTS_LINE_MAX];
    const int length =
        snprintf(line, sizeof line, "%d,%s,%d,%.9g,%d,%d,%d,%.17g\n", e->class_label[class_index],
                 l->name, channel, ex_effect(e, class_index, flat), e->correct[cell],
                 e->probe[class_index], e->baseline_correct[class_index], e->loss_delta[cell]);
    return ex_file_append(file, line, (size_t)length);
}

ex_status ex_effects_write(const ex_effects *e, const char *path)
{
    ex_status status;
    ex_file *file = NULL;
    char line[EX_EFFECTS_LINE_MAX];
    const int length = ex_effects_format_preamble(line, e);
    EX_TRY_GOTO(ex_file_create(&file, path), done);
    EX_TRY_GOTO(ex_file_append(file, line, (size_t)length), done);
    EX_TRY_GOTO(ex_file_append(file, "\n" HEADER "\n", strlen("\n" HEADER "\n")), done);
    for (int i = 0; i < e->classes; i++)
        for (int layer = 0; layer < e->model->layer_count; layer++)
            for (int c = 0; c < e->model->layers[layer].channels; c++)
                EX_TRY_GOTO(write_row(file, e, i, layer, c), done);
    status = ex_file_commit(&file);
done:
    ex_file_discard(&file);
    return status;
}

/* --- reading ------------------------------------------------------------------------------- */

typedef struct reader {
    const char *path;
    char *next; /* start of the next line, NULL at the end */
    int line;   /* of the line read last, from 1 */
    ex_effects *e;
    uint8_t *seen; /* (classes of the model, channel_count) */
    int classes;   /* found so far */
} reader;

/* The next line without its end, or NULL. */
static char *next_line(reader *r)
{
    char *line = r->next;
    if (!line || !*line)
        return NULL;
    char *end = strchr(line, '\n');
    r->next = end ? end + 1 : NULL;
    if (!end)
        end = line + strlen(line);
    if (end > line && end[-1] == '\r')
        end--;
    *end = '\0';
    r->line++;
    return line;
}

static ex_status read_head(reader *r, uint64_t digest)
{
    EX_TRY(ex_effects_parse_preamble(r->e, r->path, next_line(r), digest));
    const char *line = next_line(r);
    if (!line || strcmp(line, HEADER) != 0)
        return EX_FAIL(EX_ERR_INPUT, "%s:2: the line \"" HEADER "\" is expected", r->path);
    return EX_OK;
}

/* Cuts the line at its commas. */
static ex_status split(const reader *r, char *line, char *fields[FIELDS])
{
    int count = 0;
    for (char *rest = line; rest; count++) {
        char *comma = strchr(rest, ',');
        if (comma)
            *comma++ = '\0';
        if (count < FIELDS)
            fields[count] = rest;
        rest = comma;
    }
    if (count != FIELDS)
        return EX_FAIL(EX_ERR_INPUT, "%s:%d: %d fields; %d are expected: " HEADER, r->path, r->line,
                       count, FIELDS);
    return EX_OK;
}

static ex_status read_int(const reader *r, int *out, const char *name, const char *text, int low,
                          int high)
{
    char *end;
    *out = low;
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (end == text || *end || errno || value < low || value > high)
        return EX_FAIL(EX_ERR_INPUT,
                       "%s:%d: %s is \"%s\"; a whole number from %d to %d is expected", r->path,
                       r->line, name, text, low, high);
    *out = (int)value;
    return EX_OK;
}

static ex_status read_double(const reader *r, double *out, const char *name, const char *text)
{
    char *end;
    *out = strtod(text, &end);
    if (end == text || *end)
        return EX_FAIL(EX_ERR_INPUT, "%s:%d: %s is \"%s\"; a number is expected", r->path, r->line,
                       name, text);
    return EX_OK;
}

/* The row of the class in the table; its first line makes it. What a class's lines repeat must
 * agree. */
static ex_status find_class(reader *r, int *out, int label, int probe, int baseline_correct)
{
    ex_effects *e = r->e;
    *out = 0;
    for (int i = 0; i < r->classes; i++) {
        if (e->class_label[i] != label)
            continue;
        if (e->probe[i] != probe || e->baseline_correct[i] != baseline_correct)
            return EX_FAIL(EX_ERR_INPUT,
                           "%s:%d: class %d has probe %d and baseline_correct %d here, %d and %d "
                           "further up; one file holds one measurement",
                           r->path, r->line, label, probe, baseline_correct, e->probe[i],
                           e->baseline_correct[i]);
        *out = i;
        return EX_OK;
    }
    *out = r->classes++; /* labels are below model->classes, so there is room */
    e->class_label[*out] = label;
    e->probe[*out] = probe;
    e->baseline_correct[*out] = baseline_correct;
    e->baseline_loss[*out] = NAN; /* not in the file */
    return EX_OK;
}

static ex_status check_effect(const reader *r, double effect, int class_index, int flat)
{
    static const double rounding = 1e-6;
    const double expected = ex_effect(r->e, class_index, flat);
    if (!(fabs(effect - expected) <= rounding))
        return EX_FAIL(EX_ERR_INPUT,
                       "%s:%d: effect is %g; (baseline_correct - correct) / probe is %g", r->path,
                       r->line, effect, expected);
    return EX_OK;
}

static ex_status read_row(reader *r, char *line)
{
    ex_effects *e = r->e;
    const ex_model *m = e->model;
    char *text[FIELDS];
    int label, channel, correct, probe, baseline_correct, class_index;
    double effect, loss_delta;
    EX_TRY(split(r, line, text));
    EX_TRY(read_int(r, &label, "class", text[CLASS], 0, m->classes - 1));
    const int layer = ex_model_find_layer(m, text[LAYER]);
    if (layer < 0)
        return EX_FAIL(EX_ERR_INPUT, "%s:%d: %s has no layer \"%s\"", r->path, r->line, m->name,
                       text[LAYER]);
    EX_TRY(read_int(r, &channel, "channel", text[CHANNEL], 0, m->layers[layer].channels - 1));
    EX_TRY(read_double(r, &effect, "effect", text[EFFECT]));
    EX_TRY(read_int(r, &probe, "probe", text[PROBE], 1, INT_MAX));
    EX_TRY(read_int(r, &correct, "correct", text[CORRECT], 0, probe));
    EX_TRY(read_int(r, &baseline_correct, "baseline_correct", text[BASELINE_CORRECT], 0, probe));
    EX_TRY(read_double(r, &loss_delta, "loss_delta", text[LOSS_DELTA]));
    EX_TRY(find_class(r, &class_index, label, probe, baseline_correct));

    const int flat = m->layers[layer].first_channel + channel;
    const size_t cell = (size_t)class_index * (size_t)m->channel_count + (size_t)flat;
    if (r->seen[cell]++)
        return EX_FAIL(EX_ERR_INPUT, "%s:%d: a second row for class %d, %s, channel %d", r->path,
                       r->line, label, text[LAYER], channel);
    e->correct[cell] = correct;
    e->loss_delta[cell] = loss_delta;
    return check_effect(r, effect, class_index, flat);
}

/* Every channel of every class that the file names. */
static ex_status check_complete(const reader *r)
{
    const ex_model *m = r->e->model;
    if (!r->classes)
        return EX_FAIL(EX_ERR_INPUT, "%s: no rows", r->path);
    for (int i = 0; i < r->classes; i++)
        for (int layer = 0; layer < m->layer_count; layer++)
            for (int c = 0; c < m->layers[layer].channels; c++)
                if (!r->seen[i * m->channel_count + m->layers[layer].first_channel + c])
                    return EX_FAIL(EX_ERR_INPUT,
                                   "%s: the row of class %d, %s, channel %d is missing; the file "
                                   "may be cut off",
                                   r->path, r->e->class_label[i], m->layers[layer].name, c);
    return EX_OK;
}

ex_status ex_effects_read(ex_effects **out, const ex_model *model, uint64_t digest,
                          const char *path)
{
    *out = NULL;
    ex_status status;
    char *text = NULL, *line;
    size_t bytes;
    reader r = {.path = path};
    EX_TRY(ex_file_read(&text, &bytes, path, BYTES_MAX));
    r.next = text;
    if (strlen(text) != bytes) {
        status =
            EX_FAIL(EX_ERR_INPUT, "%s: no text: a zero byte at offset %zu", path, strlen(text));
        goto done;
    }
    EX_TRY_GOTO(ex_effects_alloc(&r.e, model, model->classes), done);
    EX_TRY_GOTO(ex_alloc(&r.seen, (size_t)model->classes * (size_t)model->channel_count, 1,
                         "rows of effects"),
                done);
    EX_TRY_GOTO(read_head(&r, digest), done);
    while ((line = next_line(&r)))
        EX_TRY_GOTO(read_row(&r, line), done);
    EX_TRY_GOTO(check_complete(&r), done);
    r.e->classes = r.classes;
    *out = r.e;
    r.e = NULL;
done:
    ex_effects_destroy(&r.e);
    ex_free(&r.seen);
    ex_free(&text);
    return status;
}
