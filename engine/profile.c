/* Adding up by name: rows are kept sorted by name, and sorted by time when they are shown. */
#include "profile.h"

#include "base/memory.h"
#include "io/file.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 64 };

struct ex_profile {
    pthread_mutex_t lock;
    ex_profile_row *rows; /* by name, each of its own memory */
    int count, room;
    size_t lost;
};

ex_status ex_profile_create(ex_profile **out)
{
    EX_TRY(ex_alloc(out, 1, sizeof **out, "profile"));
    pthread_mutex_init(&(*out)->lock, NULL);
    return EX_OK;
}

void ex_profile_destroy(ex_profile **p)
{
    if (!*p)
        return;
    for (int i = 0; i < (*p)->count; i++)
        ex_free(&(*p)->rows[i].name);
    ex_free(&(*p)->rows);
    pthread_mutex_destroy(&(*p)->lock);
    ex_free(p);
}

/* The row of that name, made if it is new; NULL without memory. */
static ex_profile_row *find(ex_profile *p, const char *name)
{
    int low = 0, high = p->count;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        const int order = strcmp(p->rows[middle].name, name);
        if (order == 0)
            return &p->rows[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    char *copy;
    if (ex_grow(&p->rows, p->count, &p->room, FIRST_ROOM, sizeof *p->rows, "profile") != EX_OK ||
        ex_text_copy(&copy, name, SIZE_MAX, "profile") != EX_OK)
        return NULL;
    ex_profile_row *row = &p->rows[low];
    memmove(row + 1, row, (size_t)(p->count - low) * sizeof *row);
    p->count++;
    *row = (ex_profile_row){.name = copy};
    return row;
}

static void add_up(ex_profile_row *row, const ex_profile_row *more)
{
    const bool none = row->calls == 0;
    if (more->calls > 0) {
        row->minimum = none || more->minimum < row->minimum ? more->minimum : row->minimum;
        row->maximum = none || more->maximum > row->maximum ? more->maximum : row->maximum;
    }
    row->total += more->total;
    row->calls += more->calls;
    row->first += more->first;
    row->first_calls += more->first_calls;
    row->flop += more->flop;
    row->bytes += more->bytes;
}

void ex_profile_add(ex_profile *p, const ex_profile_row *more)
{
    if (more->calls + more->first_calls == 0)
        return;
    pthread_mutex_lock(&p->lock);
    ex_profile_row *row = find(p, more->name);
    if (row)
        add_up(row, more);
    else
        p->lost += more->calls + more->first_calls;
    pthread_mutex_unlock(&p->lock);
}

void ex_profile_lost(ex_profile *p, size_t calls)
{
    pthread_mutex_lock(&p->lock);
    p->lost += calls;
    pthread_mutex_unlock(&p->lock);
}

/* --- showing ---------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const ex_profile_row *x = a, *y = b;
    if (x->total > y->total || x->total < y->total)
        return x->total > y->total ? -1 : 1;
    if (x->first > y->first || x->first < y->first)
        return x->first > y->first ? -1 : 1;
    return strcmp(x->name, y->name);
}

ex_status ex_profile_rows(const ex_profile *p, ex_profile_row **rows, size_t *count)
{
    *count = (size_t)p->count;
    EX_TRY(ex_alloc(rows, *count, sizeof **rows, "profile"));
    if (*count > 0)
        memcpy(*rows, p->rows, *count * sizeof **rows);
    qsort(*rows, *count, sizeof **rows, compare);
    return EX_OK;
}

static double total_of(const ex_profile *p)
{
    double total = 0;
    for (int i = 0; i < p->count; i++)
        total += p->rows[i].total;
    return total;
}

static double percent(double part, double whole)
{
    return whole > 0 ? 100 * part / whole : 0;
}

/* "1.2345ms", as wide as nvprof's columns. */
static void print_time(FILE *f, double seconds)
{
    static const struct {
        const char *name;
        double per_second;
    } units[] = {{"s", 1}, {"ms", 1e3}, {"us", 1e6}, {"ns", 1e9}};
    int unit = 0;
    while (unit < 3 && seconds * units[unit].per_second < 1)
        unit++;
    char text[32];
    snprintf(text, sizeof text, "%.4g%s", seconds * units[unit].per_second, units[unit].name);
    fprintf(f, " %9s", text);
}

static double average(const ex_profile_row *row)
{
    return row->calls > 0 ? row->total / (double)row->calls : 0;
}

/* "-" where there is no such call. */
static void print_time_of(FILE *f, double seconds, size_t calls)
{
    if (calls > 0)
        print_time(f, seconds);
    else
        fprintf(f, " %9s", "-");
}

static void print_row(FILE *f, const ex_profile_row *row, double total, bool first_column)
{
    fprintf(f, "%7.2f%%", percent(row->total, total));
    print_time_of(f, row->total, row->calls);
    fprintf(f, " %9zu", row->calls);
    print_time_of(f, average(row), row->calls);
    print_time_of(f, row->minimum, row->calls);
    print_time_of(f, row->maximum, row->calls);
    if (first_column)
        print_time_of(f, row->first, row->first_calls);
    fprintf(f, "  %s\n", row->name);
}

/* How many first calls were kept apart, and what they took. */
static size_t first_calls_of(const ex_profile *p, double *seconds)
{
    size_t calls = 0;
    *seconds = 0;
    for (int i = 0; i < p->count; i++) {
        calls += p->rows[i].first_calls;
        *seconds += p->rows[i].first;
    }
    return calls;
}

static void print_footer(FILE *f, const ex_profile *p)
{
    double seconds;
    const size_t calls = first_calls_of(p, &seconds);
    if (calls > 0)
        fprintf(f, "First: %zu calls that warmed up, %.3g s in all, which no other column counts\n",
                calls, seconds);
    if (p->count == 0)
        fprintf(f, "nothing was measured\n");
    if (p->lost > 0)
        fprintf(f, "not measured: %zu calls, for lack of room\n", p->lost);
}

ex_status ex_profile_print(const ex_profile *p, FILE *f)
{
    ex_profile_row *rows;
    size_t count;
    double seconds;
    const bool first_column = first_calls_of(p, &seconds) > 0;
    EX_TRY(ex_profile_rows(p, &rows, &count));
    fprintf(f, "%8s %9s %9s %9s %9s %9s", "Time(%)", "Time", "Calls", "Avg", "Min", "Max");
    if (first_column)
        fprintf(f, " %9s", "First");
    fprintf(f, "  Name\n");
    for (size_t i = 0; i < count; i++)
        print_row(f, &rows[i], total_of(p), first_column);
    print_footer(f, p);
    ex_free(&rows);
    return EX_OK;
}

/* A kernel's name has commas and may have quotes. */
static void write_quoted(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', f);
        fputc(*text, f);
    }
    fputc('"', f);
}

typedef struct table {
    const ex_profile_row *rows;
    size_t count;
    double total;
} table;

static void write_rows(FILE *f, const void *what)
{
    const table *t = what;
    fputs(EX_PROFILE_CSV_HEADER, f);
    for (size_t i = 0; i < t->count; i++) {
        const ex_profile_row *row = &t->rows[i];
        fprintf(f, "%.4f,%.9g,%zu,%.9g,%.9g,%.9g,%zu,%.9g,", percent(row->total, t->total),
                row->total, row->calls, average(row), row->minimum, row->maximum, row->first_calls,
                row->first);
        write_quoted(f, row->name);
        fputc('\n', f);
    }
}

ex_status ex_profile_write_csv(const ex_profile *p, const char *path)
{
    ex_profile_row *rows;
    size_t count;
    EX_TRY(ex_profile_rows(p, &rows, &count));
    const table t = {.rows = rows, .count = count, .total = total_of(p)};
    const ex_status status = ex_file_print(path, write_rows, &t);
    ex_free(&rows);
    return status;
}

/* --- the process's profile -------------------------------------------------------------------- */

static ex_profile *current;
static ex_profile_source source;

ex_status ex_profile_begin(void)
{
    return current ? EX_OK : ex_profile_create(&current);
}

ex_profile *ex_profile_current(void)
{
    return current;
}

void ex_profile_set_source(ex_profile_source flush)
{
    source = flush;
}

bool ex_profile_has_source(void)
{
    return source != NULL;
}

void ex_profile_drop(void)
{
    source = NULL;
    ex_profile_destroy(&current);
}

ex_status ex_profile_end(const char *csv)
{
    ex_status status = EX_OK;
    if (!current)
        return EX_OK;
    if (source)
        status = source();
    fflush(stdout);
    if (status == EX_OK)
        status = ex_profile_print(current, stderr);
    if (status == EX_OK && csv && *csv)
        status = ex_profile_write_csv(current, csv);
    ex_profile_drop();
    return status;
}
