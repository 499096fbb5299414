#include "jobs.h"

#include "failing.h"
#include "temp.h"
#include "test.h"

#include "base/memory.h"
#include "io/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMPARE EXCISE_TEST_DATA "/../e2e/compare_runs.py"

enum { WORDS_MAX = 24, STRIDE = 41 };

static const char *name_of(const job *j)
{
    return j->command ? j->command->name : j->name;
}

static ex_status run_words(const cli_command *command, const char *const *words)
{
    static cli_args args;
    char *argv[WORDS_MAX + 1] = {(char *)command->name};
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    memset(&args, 0, sizeof args);
    const ex_status status = cli_parse(&args, command, argc, argv);
    return status == EX_OK ? command->run(&args) : status;
}

/* Its results on stdout go into the file. */
static ex_status run_job(const job *j, const char *file)
{
    fflush(stdout);
    const int out = dup(STDOUT_FILENO), to = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    dup2(to, STDOUT_FILENO);
    ex_json_guard();
    ex_allocation_sites_begin();
    const ex_status status = j->command ? run_words(j->command, j->words) : j->call();
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    close(out);
    close(to);
    return status;
}

ex_status job_run_command(const cli_command *command, const char *const *words)
{
    return run_job(&(job){.command = command, .words = words}, "/dev/null");
}

/* system() with a text made as by printf. */
static int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int shell(const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return system(text);
}

void job_remove(const char *path)
{
    if (*path)
        assert_int_equal(shell("rm -rf '%s'", path), 0);
}

/* A number of the environment, or what it is without. */
static long setting(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text ? atol(text) : otherwise;
}

static bool tries_every(void)
{
    return setting("EXCISE_EVERY", 0) != 0;
}

/* Of the allocations that are chosen, counted through all jobs, one in `stride`; which, the seed
 * says. */
static bool has_turn(void)
{
    static long passed;
    if (tries_every() || setting("EXCISE_ALLOCATION", 0))
        return true;
    const long stride = setting("EXCISE_STRIDE", STRIDE);
    return (passed++ + setting("EXCISE_TEST_SEED", 0)) % stride == 0;
}

enum { SITES_MAX = 1 << 15 };

static unsigned long tried[SITES_MAX]; /* by any job so far */
static int tried_count;

static bool is_new(unsigned long site)
{
    for (int i = 0; i < tried_count; i++)
        if (tried[i] == site)
            return false;
    assert_true(tried_count < SITES_MAX);
    tried[tried_count++] = site;
    return true;
}

/* Fills n with the allocations to fail, of the `all` that were made; gives their number. */
static int choose(long *n, long all)
{
    int count = 0;
    const long only = setting("EXCISE_ALLOCATION", 0); /* to look into one */
    for (long i = 1; i <= all; i++) {
        if (only && i != only)
            continue;
        if (only || tries_every()) {
            n[count++] = i;
            continue;
        }
        const unsigned long site = ex_allocation_site(i);
        if (!is_new(site))
            continue;
        n[count++] = i;
        long last = all;
        while (ex_allocation_site(last) != site)
            last--;
        if (last != i)
            n[count++] = last;
    }
    return count;
}

/* Descriptors that are open in this process. */
static int count_open(void)
{
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    int count = 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* What is left of a run that nothing disturbed: here, and in files. */
typedef struct usual {
    long live;
    int open;
} usual;

static const char *usual_output, *usual_results, *results; /* of jobs_open */

/* A run that did without the allocation gives what the undisturbed one gave. */
static void check_output(const job *j, long n)
{
    if (j->timed)
        return;
    if (shell("python3 '%s' '%s' '%s'", COMPARE, usual_results, results) != 0)
        fail_msg("%s: allocation %ld: another result than without a failure", name_of(j), n);
    if (*j->output && shell("python3 '%s' '%s' '%s'", COMPARE, usual_output, j->output) != 0)
        fail_msg("%s: allocation %ld: another output than without a failure", name_of(j), n);
}

static ex_status fail_one(const job *j, long n, long all, const usual *u)
{
    ex_fail_allocation(n);
    const ex_status status = run_job(j, results);
    ex_fail_allocation(0);
    if (status != EX_OK && status != EX_ERR_MEMORY)
        fail_msg("%s: allocation %ld of %ld: %s: %s (%s)", name_of(j), n, all,
                 ex_status_name(status), ex_error_message(), ex_error_where());
    if (ex_allocations_live() != u->live)
        fail_msg("%s: allocation %ld of %ld: %ld blocks leaked (%s: %s)", name_of(j), n, all,
                 ex_allocations_live() - u->live, ex_status_name(status), ex_error_message());
    if (count_open() != u->open)
        fail_msg("%s: allocation %ld of %ld: %d descriptors leaked (%s: %s)", name_of(j), n, all,
                 count_open() - u->open, ex_status_name(status), ex_error_message());
    if (status == EX_OK)
        check_output(j, n);
    return status;
}

/* Runs the job undisturbed, thrice: what stays for good is there after the first. */
static void look_at_usual(usual *u, const job *j)
{
    *u = (usual){0};
    for (int i = 0; i < 3; i++) {
        const long before = u->live;
        job_remove(j->output);
        ex_fail_allocation(0);
        assert_ok(run_job(j, usual_results));
        u->live = ex_allocations_live();
        assert_true(i < 2 || u->live == before);
    }
    u->open = count_open();
    job_remove(usual_output);
    if (*j->output)
        assert_int_equal(shell("mv '%s' '%s'", j->output, usual_output), 0);
}

void job_fail_each(const job *j)
{
    static long n[2 * SITES_MAX];
    usual u;
    look_at_usual(&u, j);
    const long all = ex_allocations();
    assert_true(all <= EX_ALLOCATION_SITES);
    const int count = choose(n, all);
    int failed = 0, without = 0;
    for (int i = 0; i < count; i++) {
        if (!has_turn() && !j->all)
            continue;
        job_remove(j->output);
        without += fail_one(j, n[i], all, &u) == EX_OK;
        failed++;
    }
    print_message("%s: %ld allocations, %d chosen, %d failed, %d of them done without\n",
                  name_of(j), all, count, failed, without);
}

void job_fail_command(const cli_command *command, const char *const *words, const char *output)
{
    job_fail_each(&(job){.command = command, .words = words, .output = output});
}

void jobs_open(void)
{
    print_message("seed %ld\n", setting("EXCISE_TEST_SEED", 0));
    usual_output = strdup(ex_temp_path("usual"));
    usual_results = strdup(ex_temp_path("usual-results"));
    results = strdup(ex_temp_path("results"));
}
