/* A value of the configuration as text, and what a field accepts in words. */
#include "config_fields.h"

#include <stdio.h>
#include <stdlib.h>

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
    const void *value = (const char *)c + field->offset;
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
