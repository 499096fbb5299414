#include "base/bytes.h"

#include <stdio.h>

static const double NEXT = 999.95; /* from here on "%.1f" would print 1000.0 */

const char *ex_bytes_text(char text[EX_BYTES_ROOM], double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    enum { LAST = sizeof units / sizeof *units - 1 };
    int unit = 0;
    for (; bytes >= NEXT && unit < LAST; unit++)
        bytes /= 1000;
    snprintf(text, EX_BYTES_ROOM, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return text;
}
