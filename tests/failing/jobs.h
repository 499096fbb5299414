/* Jobs whose allocations fail in turn (failing.h): a command of the program's, or calls. Each time
 * the job ends with out of memory and says so, or does without and gives what it always gives; it
 * leaks neither memory nor files.
 *
 * Of the allocations that one chain of calls makes, the first and the last are chosen; of these,
 * one in STRIDE is tried, others for another EXCISE_TEST_SEED=N, all of them with EXCISE_STRIDE=1.
 * With EXCISE_EVERY=1 every allocation of every job is tried, which takes hours; with
 * EXCISE_ALLOCATION=N the N-th of each alone. */
#ifndef EX_JOBS_H
#define EX_JOBS_H

#include "cli.h"

/* What is tried. */
typedef struct job {
    const cli_command *command; /* the program's, with words; NULL: `call` */
    const char *const *words;
    const char *name;
    ex_status (*call)(void);
    const char *output; /* a file or folder that it makes, or "" */
    bool timed;         /* what comes out depends on how long something took */
    bool all;           /* every allocation that is chosen fails: there are few */
} job;

/* Before any job: makes up the files that results are kept in, and tells the seed. */
void jobs_open(void);

/* Runs the command once, with its results going nowhere. */
ex_status job_run_command(const cli_command *command, const char *const *words);
/* A file, or a folder with what is in it; "": nothing. */
void job_remove(const char *path);

/* Fails the test at the first allocation that the job does not do without as it should. */
void job_fail_each(const job *j);
/* The same for a command, whose output is removed before each try. */
void job_fail_command(const cli_command *command, const char *const *words, const char *output);

#endif
