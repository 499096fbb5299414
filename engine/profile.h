/* Where the time of a run goes: what back ends measured, added up by name, as the table that nvprof
 * printed at the end of a program.
 *
 * A profile is switched on before devices are opened and off after they are closed; in between,
 * back ends hand it rows. Nothing is measured while there is none. Safe from several threads. */
#ifndef EX_PROFILE_H
#define EX_PROFILE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdio.h>

/* What has one name: a kernel, a copy, a primitive of a layer. Seconds. First calls, where a plan
 * touches its memory and its code for the first time, are kept apart from the others: they take
 * several times as long, and a short run would show little else. */
typedef struct ex_profile_row {
    const char *name;
    size_t calls, first_calls; /* calls: all but the first ones */
    double total, minimum, maximum, first;
    /* Of all calls, the first ones too: operations of matrix products and convolutions, as the
     * model is written, and bytes of their operands, each once. 0 where who measured does not tell.
     */
    double flop, bytes;
} ex_profile_row;

typedef struct ex_profile ex_profile;

ex_status ex_profile_create(ex_profile **out);
void ex_profile_destroy(ex_profile **p);
/* Adds the calls of `row` to those of its name, which is copied; a row without any is nothing.
 * What finds no memory is counted by ex_profile_lost. */
void ex_profile_add(ex_profile *p, const ex_profile_row *row);
/* Notes calls that were made but not measured; the table tells how many. */
void ex_profile_lost(ex_profile *p, size_t calls);
/* *rows = the rows by falling total, then by first calls, then by name; freed by ex_free, their
 * names stay p's. */
ex_status ex_profile_rows(const ex_profile *p, ex_profile_row **rows, size_t *count);
/* Time (%), time, calls, average, minimum, maximum, name, one row a line, as nvprof had it. Before
 * the name stands what first calls took in all, if any were kept apart. */
ex_status ex_profile_print(const ex_profile *p, FILE *f);
#define EX_PROFILE_CSV_HEADER                                                                      \
    "time_percent,time_s,calls,average_s,minimum_s,maximum_s,first_calls,first_s,name\n"
/* The header and a line for each row. */
ex_status ex_profile_write_csv(const ex_profile *p, const char *path);

/* Counts a call into a row that its owner keeps. */
static inline void ex_profile_count(ex_profile_row *row, double seconds)
{
    row->minimum = row->calls == 0 || seconds < row->minimum ? seconds : row->minimum;
    row->maximum = row->calls == 0 || seconds > row->maximum ? seconds : row->maximum;
    row->total += seconds;
    row->calls++;
}

/* The same for a row whose owner warms up: its first call is kept apart. */
static inline void ex_profile_count_warm(ex_profile_row *row, double seconds)
{
    if (row->first_calls > 0) {
        ex_profile_count(row, seconds);
        return;
    }
    row->first_calls = 1;
    row->first = seconds;
}

/* --- the process's profile -------------------------------------------------------------------- */

/* What hands in its rows at the end only, such as CUPTI; NULL: nothing does. */
typedef ex_status (*ex_profile_source)(void);

ex_status ex_profile_begin(void);
/* NULL while profiling is off. */
ex_profile *ex_profile_current(void);
void ex_profile_set_source(ex_profile_source flush);
bool ex_profile_has_source(void);
/* Switches off without showing anything: for who has read the rows. */
void ex_profile_drop(void);
/* Collects from the source, prints to stderr, writes `csv` unless it is empty, and switches off;
 * does nothing if profiling is off. */
ex_status ex_profile_end(const char *csv);

#endif
