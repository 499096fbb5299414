/* One value of the configuration: text to number and back, and what a field accepts. */
#include "config_fields.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void *member(ex_config *c, const ex_field *field)
{
    return (char *)c + field->offset;
}

static const void *member_const(const ex_config *c, const ex_field *field)
{
    return (const char *)c + field->offset;
}

static ex_status reject(const ex_field *field, const char *text, const char *origin)
{
    char accepts[512];
    ex_field_accepts(field, accepts, sizeof accepts);
    return EX_FAIL(EX_ERR_CONFIG, "%s: %s is \"%.80s\"; %s", origin, field->key, text, accepts);
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

/* Bytes of the UTF-8 sequence at p, at most four; 0 if it is none. The second byte's range keeps
 * out overlong forms, surrogates and what is above U+10FFFF. */
static int utf8_length(const unsigned char *p)
{
    const int length = *p < 0x80                  ? 1
                       : *p >= 0xc2 && *p < 0xe0  ? 2
                       : *p >= 0xe0 && *p < 0xf0  ? 3
                       : *p >= 0xf0 && *p <= 0xf4 ? 4
                                                  : 0;
    const int low = *p == 0xe0 ? 0xa0 : *p == 0xf0 ? 0x90 : 0x80;
    const int high = *p == 0xed ? 0x9f : *p == 0xf4 ? 0x8f : 0xbf;
    if (length > 1 && (p[1] < low || p[1] > high))
        return 0;
    for (int i = 2; i < length; i++)
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    return length;
}

static bool is_utf8(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    while (*p) {
        const int length = utf8_length(p);
        if (!length)
            return false;
        p += length;
    }
    return true;
}

/* Text must survive config.yaml and report.json: UTF-8 without control characters. */
static ex_status parse_text(char *out, const ex_field *field, const char *text, const char *origin)
{
    const bool utf8 = is_utf8(text);
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

/* The fewest digits that give the same double again. */
static void format_real(double value, char *out, size_t room)
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, room, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            return;
    }
}

static void format_reals(const ex_reals *list, char *out, size_t room)
{
    char number[32];
    snprintf(out, room, "[");
    for (size_t i = 0; i < list->count; i++) {
        format_real(list->value[i], number, sizeof number);
        ex_append(out, room, "%s%s", i ? ", " : "", number);
    }
    ex_append(out, room, "]");
}

static void format_bytes(size_t bytes, char *out, size_t room)
{
    static const char units[] = "KMGT";
    int unit = -1;
    while (bytes != 0 && bytes % 1024 == 0 && unit < 3) {
        bytes /= 1024;
        unit++;
    }
    if (unit < 0)
        snprintf(out, room, "%zu", bytes);
    else
        snprintf(out, room, "%zu%c", bytes, units[unit]);
}

void ex_field_format(const ex_config *c, const ex_field *field, char *out, size_t room)
{
    const void *value = member_const(c, field);
    switch (field->type) {
    case EX_FIELD_TEXT:
        snprintf(out, room, "%s", (const char *)value);
        break;
    case EX_FIELD_INT:
        snprintf(out, room, "%d", *(const int *)value);
        break;
    case EX_FIELD_SIZE:
        snprintf(out, room, "%zu", *(const size_t *)value);
        break;
    case EX_FIELD_SEED:
        snprintf(out, room, "%llu", (unsigned long long)*(const uint64_t *)value);
        break;
    case EX_FIELD_REAL:
        format_real(*(const double *)value, out, room);
        break;
    case EX_FIELD_BOOL:
        snprintf(out, room, "%s", *(const bool *)value ? "true" : "false");
        break;
    case EX_FIELD_CHOICE:
        snprintf(out, room, "%s", field->choices[*(const int *)value]);
        break;
    case EX_FIELD_BYTES:
        format_bytes(*(const size_t *)value, out, room);
        break;
    case EX_FIELD_REALS:
        format_reals(value, out, room);
        break;
    }
}

static void list_choices(const char *const *choices, char *out, size_t room)
{
    size_t used = (size_t)snprintf(out, room, "one of");
    for (int i = 0; choices[i] && used < room; i++)
        used += (size_t)snprintf(out + used, room - used, "%s %s", i ? "," : "", choices[i]);
}

void ex_field_accepts(const ex_field *field, char *out, size_t room)
{
    switch (field->type) {
    case EX_FIELD_TEXT:
        if (field->names)
            list_choices(field->names(), out, room);
        else
            snprintf(out, room, "text of at most %zu bytes", field->size - 1);
        break;
    case EX_FIELD_INT:
    case EX_FIELD_SIZE:
        snprintf(out, room, "an integer from %.0f to %.0f", field->min, field->max);
        break;
    case EX_FIELD_SEED:
        snprintf(out, room, "an integer from 0 to 9223372036854775807");
        break;
    case EX_FIELD_REAL:
        snprintf(out, room, "a number %s %g, %s %g", field->above_min ? "above" : "from",
                 field->min, field->below_max ? "below" : "at most", field->max);
        break;
    case EX_FIELD_BOOL:
        snprintf(out, room, "true or false");
        break;
    case EX_FIELD_CHOICE:
        list_choices(field->choices, out, room);
        break;
    case EX_FIELD_BYTES:
        snprintf(out, room, "bytes, such as 512M or 4G; 0 for no limit");
        break;
    case EX_FIELD_REALS:
        snprintf(out, room, "[] or a list of 1 to %d numbers %s %g, at most %g", EX_CHANNELS_MAX,
                 field->above_min ? "above" : "from", field->min, field->max);
        break;
    }
}
