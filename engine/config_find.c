/* Looking up keys, and guessing which one was meant. */
#include "base/nearest.h"
#include "config_fields.h"

#include <stdlib.h>
#include <string.h>

const ex_field *ex_field_find(const char *key)
{
    for (const ex_field *f = ex_fields(); f->key; f++)
        if (strcmp(f->key, key) == 0)
            return f;
    return NULL;
}

bool ex_field_is_section(const char *name)
{
    const size_t length = strlen(name);
    for (const ex_field *f = ex_fields(); f->key; f++)
        if (strncmp(f->key, name, length) == 0 && f->key[length] == '.')
            return length > 0;
    return false;
}

static const char *last_part(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot ? dot + 1 : key;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Keeps the candidate (the first `length` bytes of `name`) if it is nearer than the best so far. */
static void consider(const char *key, const char *name, size_t length, size_t *best, char *nearest,
                     size_t room)
{
    char candidate[64];
    snprintf(candidate, sizeof candidate, "%.*s", (int)length, name);
    /* A slip and another section together are one step further off than the slip. */
    const size_t d = smaller(ex_word_distance(key, candidate),
                             ex_word_distance(last_part(key), last_part(candidate)) + 1);
    if (d >= *best)
        return;
    *best = d;
    snprintf(nearest, room, "%s", candidate);
}

/* The field of the same name, in a section that was misspelt or, failing that, in any. */
static const ex_field *find_name(const char *key)
{
    enum { SLIP = 2 };
    const ex_field *first = NULL;
    for (const ex_field *f = ex_fields(); f->key; f++) {
        if (strcmp(last_part(f->key), last_part(key)) != 0)
            continue;
        if (ex_word_distance(key, f->key) <= SLIP)
            return f;
        if (!first)
            first = f;
    }
    return first;
}

/* The key that a user may have meant by `key`, or NULL. */
static const char *suggest(const char *key)
{
    const ex_field *same = find_name(key);
    if (same)
        return same->key;
    static _Thread_local char nearest[64];
    const size_t length = strlen(last_part(key));
    const size_t start = (length < 4 ? 1 : length / 3) + 1;
    size_t best = start;
    for (const ex_field *f = ex_fields(); f->key; f++) {
        const char *dot = strchr(f->key, '.');
        consider(key, f->key, strlen(f->key), &best, nearest, sizeof nearest);
        if (dot) /* sections count too: "partitions:" means "partition:" */
            consider(key, f->key, (size_t)(dot - f->key), &best, nearest, sizeof nearest);
    }
    return best < start ? nearest : NULL;
}

ex_status ex_field_unknown(const char *key, const char *origin)
{
    const char *meant = suggest(key);
    if (meant)
        return EX_FAIL(EX_ERR_CONFIG, "%s: unknown key \"%.80s\"; did you mean \"%s\"?", origin,
                       key, meant);
    return EX_FAIL(EX_ERR_CONFIG, "%s: unknown key \"%.80s\"; `excise train --help` lists the keys",
                   origin, key);
}
