#include "golden.h"

#include "test.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { HEADER = 16, VERSION = 1, ARRAYS_MAX = 65536, DIMS_MAX = 4 };
static const size_t VALUES_MAX = (size_t)1 << 28; /* bytes of one array */

/* What is left of the file. */
typedef struct cursor {
    const uint8_t *at;
    size_t left;
} cursor;

static ex_status take(const uint8_t **out, cursor *c, size_t bytes, const char *what)
{
    if (c->left < bytes)
        return EX_FAIL(EX_ERR_INPUT, "golden file ends inside %s: %zu bytes needed, %zu left", what,
                       bytes, c->left);
    *out = c->at;
    c->at += bytes;
    c->left -= bytes;
    return EX_OK;
}

static uint32_t read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static ex_status read_values(ex_golden_array *a, const uint8_t *stored, size_t stored_bytes)
{
    const size_t bytes = a->count * (a->type == EX_GOLDEN_BYTE ? 1 : 4);
    if (bytes > VALUES_MAX)
        return EX_FAIL(EX_ERR_INPUT, "golden array %s has %zu bytes, more than %zu", a->name, bytes,
                       VALUES_MAX);
    a->values = malloc(bytes + 1);
    if (!a->values)
        return EX_FAIL(EX_ERR_MEMORY, "golden array %s: no %zu bytes", a->name, bytes);
    uLongf got = bytes;
    if (uncompress(a->values, &got, stored, stored_bytes) != Z_OK || got != bytes)
        return EX_FAIL(EX_ERR_INPUT, "golden array %s does not unpack to its %zu bytes", a->name,
                       bytes);
    return EX_OK;
}

static ex_status read_array(ex_golden_array *a, cursor *c)
{
    const uint8_t *head = NULL, *shape = NULL, *name = NULL, *stored = NULL;
    EX_TRY(take(&head, c, 4, "an array's header"));
    const size_t name_bytes = (size_t)head[2] | (size_t)head[3] << 8;
    if (head[0] > EX_GOLDEN_INT || head[1] > DIMS_MAX || name_bytes >= sizeof a->name)
        return EX_FAIL(EX_ERR_INPUT, "golden array of type %d, %d dimensions, name of %zu bytes",
                       head[0], head[1], name_bytes);
    a->type = (ex_golden_type)head[0];
    a->ndim = head[1];
    EX_TRY(take(&shape, c, 4 * (size_t)a->ndim + 4, "an array's sizes"));
    EX_TRY(take(&name, c, name_bytes, "an array's name"));
    memcpy(a->name, name, name_bytes);
    a->count = 1;
    for (int i = 0; i < a->ndim; i++) {
        a->shape[i] = read_u32(shape + 4 * i);
        if (a->shape[i] && a->count > VALUES_MAX / a->shape[i])
            return EX_FAIL(EX_ERR_INPUT, "golden array %s is too large", a->name);
        a->count *= a->shape[i];
    }
    const size_t stored_bytes = read_u32(shape + 4 * a->ndim);
    EX_TRY(take(&stored, c, stored_bytes, a->name));
    return read_values(a, stored, stored_bytes);
}

static ex_status parse(ex_golden *g, cursor c)
{
    const uint8_t *head = NULL;
    EX_TRY(take(&head, &c, HEADER, "the header"));
    if (memcmp(head, "EXGOLD\0\1", 8) != 0 || read_u32(head + 8) != VERSION)
        return EX_FAIL(EX_ERR_INPUT,
                       "not a golden file of version %d; make it again by "
                       "tests/golden/make_golden.py",
                       VERSION);
    const uint32_t count = read_u32(head + 12);
    if (count > ARRAYS_MAX)
        return EX_FAIL(EX_ERR_INPUT, "golden file of %u arrays; at most %d", count, ARRAYS_MAX);
    g->arrays = calloc(count + 1, sizeof *g->arrays);
    if (!g->arrays)
        return EX_FAIL(EX_ERR_MEMORY, "no memory for %u golden arrays", count);
    for (g->count = 0; g->count < count; g->count++) {
        const ex_status status = read_array(&g->arrays[g->count], &c);
        if (status != EX_OK) {
            free(g->arrays[g->count].values);
            return status;
        }
    }
    if (c.left)
        return EX_FAIL(EX_ERR_INPUT, "%zu bytes after the last golden array", c.left);
    return EX_OK;
}

static ex_status slurp(uint8_t **out, size_t *size, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return EX_FAIL(EX_ERR_INPUT, "cannot open golden file %s", path);
    fseek(file, 0, SEEK_END);
    const long end = ftell(file);
    rewind(file);
    *size = end > 0 ? (size_t)end : 0;
    *out = malloc(*size + 1);
    const size_t got = *out ? fread(*out, 1, *size, file) : 0;
    fclose(file);
    if (*out && got == *size)
        return EX_OK;
    free(*out);
    return EX_FAIL(EX_ERR_IO, "read %zu of %zu bytes of %s", got, *size, path);
}

ex_status ex_golden_read(ex_golden **out, const char *path)
{
    *out = NULL;
    uint8_t *bytes = NULL;
    size_t size = 0;
    EX_TRY(slurp(&bytes, &size, path));
    ex_golden *g = calloc(1, sizeof *g);
    const ex_status status = g ? parse(g, (cursor){bytes, size}) : EX_ERR_MEMORY;
    free(bytes);
    if (status == EX_OK)
        *out = g;
    else
        ex_golden_close(&g);
    return status;
}

void ex_golden_close(ex_golden **golden)
{
    ex_golden *g = *golden;
    if (!g)
        return;
    for (size_t i = 0; i < g->count; i++)
        free(g->arrays[i].values);
    free(g->arrays);
    free(g);
    *golden = NULL;
}

const ex_golden_array *ex_golden_find(const ex_golden *golden, const char *name)
{
    for (size_t i = 0; i < golden->count; i++)
        if (strcmp(golden->arrays[i].name, name) == 0)
            return &golden->arrays[i];
    return NULL;
}

static const void *need(const ex_golden *g, ex_golden_type type, size_t count, const char *format,
                        va_list args)
{
    char name[256];
    vsnprintf(name, sizeof name, format, args);
    const ex_golden_array *a = ex_golden_find(g, name);
    if (!a)
        fail_msg("golden array %s is missing", name);
    if (a->type != type || (count && a->count != count))
        fail_msg("golden array %s: type %d with %zu elements, expected type %d with %zu", name,
                 a->type, a->count, type, count);
    return a->values;
}

#define DEFINE_NEED(function, ctype, type)                                                         \
    const ctype *function(const ex_golden *g, size_t count, const char *format, ...)               \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, format);                                                                    \
        const void *values = need(g, type, count, format, args);                                   \
        va_end(args);                                                                              \
        return values;                                                                             \
    }

DEFINE_NEED(ex_golden_floats, float, EX_GOLDEN_FLOAT)
DEFINE_NEED(ex_golden_ints, int32_t, EX_GOLDEN_INT)
DEFINE_NEED(ex_golden_bytes, uint8_t, EX_GOLDEN_BYTE)
