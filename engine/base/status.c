#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static _Thread_local ex_error last = {.message = "no error"};

static const struct {
    const char *name, *text;
    int exit_code;
} statuses[] = {
#define X(code, exit_code, text) {#code, text, exit_code},
    EX_STATUS_LIST(X)
#undef X
};

const char *ex_status_name(ex_status s)
{
    return statuses[s].name;
}

const char *ex_status_text(ex_status s)
{
    return statuses[s].text;
}

int ex_status_exit_code(ex_status s)
{
    return statuses[s].exit_code;
}

static void adopt_here(const char *message, const char *where)
{
    snprintf(last.message, sizeof last.message, "%s", message);
    ex_make_printable(last.message);
    snprintf(last.where, sizeof last.where, "%s", where);
}

static const char *message_here(void)
{
    return last.message;
}

static const char *where_here(void)
{
    return last.where;
}

static const ex_error_home here = {
    .adopt = adopt_here, .message = message_here, .where = where_here};
static const ex_error_home *home = &here;

const ex_error_home *ex_error_home_get(void)
{
    return home;
}

void ex_error_home_set(const ex_error_home *other)
{
    home = other;
}

ex_status ex_fail_at(ex_status code, const char *where, const char *format, ...)
{
    /* Formatted aside: the message may quote the one before it. */
    char text[sizeof last.message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    home->adopt(text, where ? where : "");
    return code;
}

const char *ex_error_message(void)
{
    return home->message();
}

const char *ex_error_where(void)
{
    return home->where();
}

ex_error ex_error_keep(void)
{
    ex_error e;
    snprintf(e.message, sizeof e.message, "%s", home->message());
    snprintf(e.where, sizeof e.where, "%s", home->where());
    return e;
}

void ex_error_restore(const ex_error *error)
{
    home->adopt(error->message, error->where);
}

/* Bytes of the character that begins there, as UTF-8 has it; 0 of none, and of a control character.
 */
static int printable(const unsigned char *p)
{
    static const uint32_t least[] = {0, 0, 0xa0 /* below are C1's */, 0x800, 0x10000};
    if (*p < 0x80)
        return *p >= 0x20 && *p != 0x7f;
    if (*p < 0xc2 || *p > 0xf4)
        return 0;
    const int bytes = *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
    uint32_t code = *p & (0xffu >> (bytes + 1));
    for (int i = 1; i < bytes; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3f);
    }
    const bool surrogate = code >= 0xd800 && code < 0xe000;
    return code >= least[bytes] && code < 0x110000 && !surrogate ? bytes : 0;
}

void ex_make_printable(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p;) {
        const int bytes = printable(p);
        if (!bytes)
            *p = '?';
        p += bytes ? bytes : 1;
    }
}

void ex_append(char *text, size_t room, const char *format, ...)
{
    const size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, room - used, format, args);
    va_end(args);
}
