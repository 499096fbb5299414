/* Allocations of ours fail in turn, through all that the program does: each time the command ends
 * with out of memory, says so, crashes nothing and leaks nothing. The commands are the program's
 * own, linked in. Of the allocations that one chain of calls makes, the first and the last fail; of
 * the chains, one in STRIDE is tried, all of them with EXCISE_STRIDE=1. EXCISE_ONLY=test_NAME runs
 * one test alone. */
#include "cli.h"
#include "failing.h"
#include "temp.h"
#include "test.h"

#include "base/log.h"
#include "io/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS_MAX = 24, STRIDE = 41 };

static const char config[] =
    "dataset: synthetic\nmodel: resnet20\ntrain_samples: 12\ntest_samples: 4\nnum_clients: 2\n"
    "rounds: 1\nlocal_epochs: 1\nbatch_size: 6\nconv: direct\nlanes: 1\n"
    "augment: {crop: 1, flip: true, cutout: 2}\n"
    "server: {samples: 6, threads: 1}\n"
    "unlearn: {rounds: 1, epochs: 1, probe: 1, batch_size: 6, stop_forget: -1}\n";

/* Runs the command with its results going nowhere. */
static ex_status run_command(const cli_command *command, const char *const *words)
{
    static cli_args args;
    char *argv[WORDS_MAX + 1] = {(char *)command->name};
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    fflush(stdout);
    const int out = dup(STDOUT_FILENO), nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDOUT_FILENO);
    memset(&args, 0, sizeof args);
    ex_json_guard();
    ex_status status = cli_parse(&args, command, argc, argv);
    if (status == EX_OK)
        status = command->run(&args);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    close(out);
    close(nowhere);
    return status;
}

static void remove_folder(const char *path)
{
    char text[512];
    snprintf(text, sizeof text, "rm -rf '%s'", path);
    assert_int_equal(system(text), 0);
}

static long stride(void)
{
    const char *text = getenv("EXCISE_STRIDE");
    return text ? atol(text) : STRIDE;
}

enum { SITES_MAX = 1 << 15 };

static unsigned long tried[SITES_MAX]; /* by any command so far */
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
    for (long i = 1; i <= all; i++) {
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

static void fail_one(const cli_command *command, const char *const *words, long n, long all,
                     long live)
{
    ex_fail_allocation(n);
    const ex_status status = run_command(command, words);
    ex_fail_allocation(0);
    if (status != EX_OK && status != EX_ERR_MEMORY)
        fail_msg("%s: allocation %ld of %ld: %s: %s (%s)", command->name, n, all,
                 ex_status_name(status), ex_error_message(), ex_error_where());
    if (ex_allocations_live() != live)
        fail_msg("%s: allocation %ld of %ld: %ld blocks leaked (%s: %s)", command->name, n, all,
                 ex_allocations_live() - live, ex_status_name(status), ex_error_message());
}

/* The command, whose output `folder` is removed before each try. */
static void fail_each(const cli_command *command, const char *const *words, const char *folder)
{
    static long n[2 * SITES_MAX];
    long live = 0;
    for (int i = 0; i < 3; i++) { /* what stays for good is there after the first */
        const long before = live;
        remove_folder(folder);
        ex_fail_allocation(0);
        assert_ok(run_command(command, words));
        live = ex_allocations_live();
        assert_true(i < 2 || live == before);
    }
    const long all = ex_allocations();
    const int count = choose(n, all);
    int failed = 0;
    for (int i = 0; i < count; i += (int)stride(), failed++) {
        remove_folder(folder);
        fail_one(command, words, n[i], all, live);
    }
    print_message("%s: %ld allocations, %d chosen, %d failed\n", command->name, all, count, failed);
}

static const char *yaml, *trained;

static int set_up(void **state)
{
    (void)state;
    ex_log_set_level(EX_LOG_QUIET);
    yaml = ex_temp_write("tiny.yaml", config, sizeof config - 1, 0);
    trained = strdup(ex_temp_path("trained"));
    yaml = strdup(yaml);
    return run_command(&cli_train, (const char *[]){"-c", yaml, "-q", "-o", trained, NULL});
}

static void test_train(void **state)
{
    (void)state;
    const char *folder = ex_temp_path("new");
    fail_each(&cli_train, (const char *[]){"-c", yaml, "-q", "--json", "-o", folder, NULL}, folder);
}

static void test_train_in_bf16(void **state)
{
    (void)state;
    const char *folder = ex_temp_path("narrow");
    const char *const words[] = {"-c", yaml, "-q", "--precision", "bf16", "-o", folder, NULL};
    if (run_command(&cli_train, words) == EX_ERR_UNSUPPORTED) {
        print_message("%s: skipped\n", ex_error_message());
        skip();
    }
    fail_each(&cli_train, words, folder);
}

static void test_train_resumed(void **state)
{
    (void)state;
    fail_each(&cli_train, (const char *[]){"--resume", "-q", "-o", trained, NULL},
              ex_temp_path("nothing"));
}

static void test_eval(void **state)
{
    (void)state;
    fail_each(&cli_eval, (const char *[]){trained, "-q", "--json", NULL}, ex_temp_path("nothing"));
}

static void test_ablate(void **state)
{
    (void)state;
    const char *file = ex_temp_path("new.csv");
    fail_each(&cli_ablate, (const char *[]){trained, "-q", "--class", "1", "-o", file, NULL}, file);
}

static void test_unlearn(void **state)
{
    (void)state;
    static const char *const methods[] = {"ce", "de", "retrain"};
    const char *folder = ex_temp_path("new");
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        fail_each(&cli_unlearn,
                  (const char *[]){trained, "-q", "--json", "--method", methods[i], "--class", "1",
                                   "-o", folder, NULL},
                  folder);
}

/* To PyTorch's names, as another file has them, and back. */
static void test_convert(void **state)
{
    (void)state;
    char named[512], file[512];
    snprintf(named, sizeof named, "%s", ex_temp_path("named"));
    snprintf(file, sizeof file, "%s", ex_temp_path("new"));
    assert_ok(run_command(&cli_convert, (const char *[]){trained, named, "--to", "pytorch",
                                                         "--naming", "kuangliu", NULL}));
    fail_each(&cli_convert,
              (const char *[]){trained, file, "--to", "pytorch", "--like", named, "--json", NULL},
              file);
    fail_each(&cli_convert, (const char *[]){named, file, "--from", "pytorch", NULL}, file);
}

/* --- no memory from some point on ------------------------------------------------------------ */

static const char *starved;           /* the folder of the run */
static bool had_effects, had_started; /* when memory ran out */

static bool holds(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", starved, name);
    return access(path, F_OK) == 0;
}

static void look(void)
{
    had_effects = holds("effects.csv");
    had_started = holds("checkpoint/round-0.bin");
}

/* Then a checkpoint cannot be read either, and what is complete stays all the same. */
static void test_unlearn_keeps_what_is_complete_when_memory_is_gone(void **state)
{
    (void)state;
    enum { POINTS = 24 };
    int kept = 0;
    starved = ex_temp_path("starved");
    const char *const words[] = {trained, "-q", "--method", "ce", "--class",
                                 "1",     "-o", starved,    NULL};
    const char *const resume[] = {"--resume", "-q", "-o", starved, NULL};
    ex_fail_allocation(0);
    assert_ok(run_command(&cli_unlearn, words));
    const long all = ex_allocations();
    for (int i = 1; i < POINTS; i++) {
        remove_folder(starved);
        ex_fail_allocations_from(all * i / POINTS, look);
        const ex_status status = run_command(&cli_unlearn, words);
        ex_fail_allocation(0);
        assert_status(status, EX_ERR_MEMORY);
        if (had_started != holds("checkpoint/round-0.bin") ||
            (had_effects && !holds("effects.csv")))
            fail_msg("without allocation %ld of %ld and those after it: what was complete is gone",
                     all * i / POINTS, all);
        if (had_started)
            assert_ok(run_command(&cli_unlearn, resume));
        kept += had_effects;
    }
    assert_true(kept > 2);
}

static void test_a_file_is_read_into_one_block(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    char *bytes = calloc(SIZE, 1), *read;
    size_t count;
    const char *path = ex_temp_write("large", bytes, SIZE, 0);
    ex_fail_allocations_from(2, NULL);
    const ex_status status = ex_file_read(&read, &count, path, SIZE);
    ex_fail_allocation(0);
    assert_ok(status);
    assert_int_equal(count, SIZE);
    free(read);
    free(bytes);
}

static void test_unlearn_resumed(void **state)
{
    (void)state;
    const char *folder = ex_temp_path("unlearned");
    assert_ok(run_command(&cli_unlearn, (const char *[]){trained, "-q", "--method", "ce", "--class",
                                                         "1", "-o", folder, NULL}));
    fail_each(&cli_unlearn, (const char *[]){"--resume", "-q", "-o", folder, NULL},
              ex_temp_path("nothing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_train),
        cmocka_unit_test(test_train_in_bf16),
        cmocka_unit_test(test_train_resumed),
        cmocka_unit_test(test_eval),
        cmocka_unit_test(test_ablate),
        cmocka_unit_test(test_unlearn),
        cmocka_unit_test(test_unlearn_resumed),
        cmocka_unit_test(test_convert),
        cmocka_unit_test(test_unlearn_keeps_what_is_complete_when_memory_is_gone),
        cmocka_unit_test(test_a_file_is_read_into_one_block),
    };
    const char *only = getenv("EXCISE_ONLY");
    if (only)
        cmocka_set_test_filter(only);
    return cmocka_run_group_tests(tests, set_up, NULL);
}
