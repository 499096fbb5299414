/* One value of the configuration from its text. */
#include "config_fields.h"

#include "base/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void *member(ex_config *c, const ex_field *field)
{
    return (char *)c + field->offset;
}

static ex_status reject(const ex_field *field, const char *text, const char *origin)
{
    char accepts[512];
    ex_field_accepts(field, accepts, sizeof accepts);
    return EX_FAIL(EX_ERR_CONFIG, "%s: %s is \"%.80s\"; %s%s%s", origin, field->key, text, accepts,
                   field->hint ? "; " : "", field->hint ? field->hint : "");
}

static bool in_range(const ex_field *field, double value)
{
    return (field->above_min ? value > field->min : value >= field->min) &&
           (field->below_max ? value < field->max : value <= field->max);
}

/* Digits with an optional sign, nothing else: strtoll alone would also take blanks. */
static bool parse_integer(const char *text, long long *value)
{
    const char *digits = text + (*text == '-' || *text == '+');
    if (*digits == '\0' || strspn(digits, "0123456789") != strlen(digits))
        return false;
    errno = 0;
    *value = strtoll(text, NULL, 10);
    return errno == 0;
}

/* A decimal number; strtod alone would also take nan, inf and hexadecimal. */
static bool parse_real(const char *text, double *value)
{
    if (*text == '\0' || strspn(text, "0123456789+-.eE") != strlen(text))
        return false;
    char *end;
    *value = strtod(text, &end);
    return *end == '\0' && isfinite(*value);
}

/* 4G = 4 * 2^30; the unit may be followed by B or iB. */
static bool parse_bytes(const char *text, size_t *value)
{
    static const char units[] = "KMGT";
    const size_t digits = strspn(text, "0123456789");
    if (digits == 0)
        return false;
    errno = 0;
    const unsigned long long number = strtoull(text, NULL, 10);
    if (errno != 0)
        return false;
    const char *rest = text + digits;
    int shift = 0;
    if (*rest != '\0') {
        const char *unit = strchr(units, *rest & ~0x20);
        if (!unit || *unit == '\0')
            return false;
        shift = 10 * (int)(unit - units + 1);
        rest++;
        if (strcmp(rest, "") != 0 && strcmp(rest, "B") != 0 && strcmp(rest, "iB") != 0)
            return false;
    }
    if (number > (SIZE_MAX >> 1) >> shift)
        return false;
    *value = (size_t)number << shift;
    return true;
}

/* Numbers between commas, with or without brackets around. */
static bool parse_reals(const char *text, const ex_field *field, ex_reals *list)
{
    char numbers[EX_TEXT_MAX];
    const size_t length = strlen(text);
    const bool open = *text == '[', closed = length > 0 && text[length - 1] == ']';
    *list = (ex_reals){0};
    if (open != closed || length - 2 * open >= sizeof numbers)
        return false;
    snprintf(numbers, sizeof numbers, "%.*s", (int)(length - 2 * open), text + open);
    if (numbers[strspn(numbers, " ")] == '\0')
        return open;
    for (char *number = numbers, *comma; number; number = comma ? comma + 1 : NULL) {
        comma = strchr(number, ',');
        if (comma)
            *comma = '\0';
        number += strspn(number, " ");
        char *end = number + strcspn(number, " ");
        if (end[strspn(end, " ")] != '\0')
            return false; /* two numbers without a comma */
        *end = '\0';
        double *value = &list->value[list->count];
        if (list->count++ == EX_CHANNELS_MAX || !parse_real(number, value) ||
            !in_range(field, *value))
            return false;
    }
    return true;
}

/* Index in a NULL-terminated list, or -1. */
static int find_choice(const char *const *choices, const char *text)
{
    for (int i = 0; choices[i]; i++)
        if (strcmp(choices[i], text) == 0)
            return i;
    return -1;
}

int ex_choice_find(const char *key, const char *name)
{
    const ex_field *field = ex_field_find(key);
    return field && field->choices ? find_choice(field->choices, name) : -1;
}

/* Text must survive config.yaml and report.json: UTF-8 without control characters. */
static ex_status parse_text(char *out, const ex_field *field, const char *text, const char *origin)
{
    const bool utf8 = ex_is_utf8(text);
    bool control = false;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        control |= *p < 0x20 || *p == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0);
    if (!utf8 || control)
        return EX_FAIL(EX_ERR_CONFIG, "%s: %s holds %s; plain UTF-8 text is expected", origin,
                       field->key, utf8 ? "a control character" : "bytes that are not UTF-8");
    if (strlen(text) >= field->size)
        return EX_FAIL(EX_ERR_CONFIG, "%s: %s has %zu bytes; at most %zu are accepted", origin,
                       field->key, strlen(text), field->size - 1);
    if (field->names && find_choice(field->names(), text) < 0)
        return reject(field, text, origin);
    memcpy(out, text, strlen(text) + 1);
    return EX_OK;
}

static bool parse_bool(const char *text, bool *value)
{
    *value = strcmp(text, "true") == 0;
    return *value || strcmp(text, "false") == 0;
}

ex_status ex_field_parse(ex_config *c, const ex_field *field, const char *text, const char *origin)
{
    void *out = member(c, field);
    long long integer;
    double real;
    ex_reals list;
    int choice;
    bool flag;
    size_t bytes;
    switch (field->type) {
    case EX_FIELD_TEXT:
        return parse_text(out, field, text, origin);
    case EX_FIELD_INT:
    case EX_FIELD_SIZE:
    case EX_FIELD_SEED:
        if (!parse_integer(text, &integer) || !in_range(field, (double)integer))
            return reject(field, text, origin);
        if (field->type == EX_FIELD_INT)
            *(int *)out = (int)integer;
        else if (field->type == EX_FIELD_SIZE)
            *(size_t *)out = (size_t)integer;
        else
            *(uint64_t *)out = (uint64_t)integer;
        return EX_OK;
    case EX_FIELD_REAL:
        if (!parse_real(text, &real) || !in_range(field, real))
            return reject(field, text, origin);
        *(double *)out = real;
        return EX_OK;
    case EX_FIELD_BOOL:
        if (!parse_bool(text, &flag))
            return reject(field, text, origin);
        *(bool *)out = flag;
        return EX_OK;
    case EX_FIELD_CHOICE:
        if ((choice = find_choice(field->choices, text)) < 0)
            return reject(field, text, origin);
        *(int *)out = choice;
        return EX_OK;
    case EX_FIELD_BYTES:
        if (!parse_bytes(text, &bytes))
            return reject(field, text, origin);
        *(size_t *)out = bytes;
        return EX_OK;
    case EX_FIELD_REALS:
        if (!parse_reals(text, field, &list))
            return reject(field, text, origin);
        *(ex_reals *)out = list;
        return EX_OK;
    }
    return EX_FAIL(EX_ERR_INTERNAL, "%s has no type", field->key);
}
