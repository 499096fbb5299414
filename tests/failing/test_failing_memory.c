/* Allocations of ours fail in turn, through all that the program and the library do (jobs.h). The
 * commands are the program's own, linked in. */
#include "excise.h"
#include "failing.h"
#include "jobs.h"
#include "temp.h"
#include "test.h"

#include "base/log.h"
#include "base/memory.h"
#include "io/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char config[] =
    "dataset: synthetic\nmodel: resnet20\ntrain_samples: 12\ntest_samples: 4\nnum_clients: 2\n"
    "rounds: 1\nlocal_epochs: 1\nbatch_size: 6\nconv: direct\nlanes: 1\n"
    "augment: {crop: 1, flip: true, cutout: 2}\n"
    "server: {samples: 6, threads: 1}\n"
    "unlearn: {rounds: 1, epochs: 1, probe: 1, batch_size: 6, stop_forget: -1}\n";

static const char *yaml, *trained, *effects, *idx, *cifar;

/* As IDX, gzipped, and as CIFAR-10: a few images of noise. */
static void make_data(void)
{
    enum { TRAIN = 12, TEST = 4, GREY = 28 * 28, COLOUR = 3 * 32 * 32 };
    static uint8_t bytes[16 + TRAIN * (1 + COLOUR)];
    static const char *const parts[] = {"train", "t10k"};
    char name[64];
    idx = strdup(ex_temp_path("idx"));
    cifar = strdup(ex_temp_path("cifar"));
    assert_ok(ex_make_folders(idx));
    assert_ok(ex_make_folders(cifar));
    for (int part = 0; part < 2; part++) {
        const uint8_t count = part ? TEST : TRAIN;
        const uint8_t header[16] = {0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 28, 0, 0, 0, 28};
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)(i * 2654435761u >> 13);
        memcpy(bytes, header, sizeof header);
        snprintf(name, sizeof name, "idx/%s-images-idx3-ubyte.gz", parts[part]);
        ex_temp_write(name, bytes, sizeof header + (size_t)count * GREY, 1);
        memcpy(bytes, (uint8_t[]){0, 0, 8, 1, 0, 0, 0, count}, 8);
        for (size_t i = 0; i < count; i++)
            bytes[8 + i] = (uint8_t)(i % 10);
        snprintf(name, sizeof name, "idx/%s-labels-idx1-ubyte", parts[part]);
        ex_temp_write(name, bytes, 8u + count, 0);
    }
    for (int file = 0; file < 6; file++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)(i * 2654435761u >> 11);
        for (size_t i = 0; i < TEST; i++)
            bytes[i * (1 + COLOUR)] = (uint8_t)((size_t)file + i);
        snprintf(name, sizeof name, file < 5 ? "cifar/data_batch_%d.bin" : "cifar/test_batch.bin",
                 file + 1);
        ex_temp_write(name, bytes, (size_t)TEST * (1 + COLOUR), file % 2);
    }
}

static int set_up(void **state)
{
    (void)state;
    ex_log_set_level(EX_LOG_QUIET);
    jobs_open();
    yaml = strdup(ex_temp_write("tiny.yaml", config, sizeof config - 1, 0));
    trained = strdup(ex_temp_path("trained"));
    effects = strdup(ex_temp_path("effects.csv"));
    make_data();
    return job_run_command(&cli_train, (const char *[]){"-c", yaml, "-q", "-o", trained, NULL}) ||
           job_run_command(&cli_ablate,
                           (const char *[]){trained, "-q", "--class", "1", "-o", effects, NULL});
}

static void test_train(void **state)
{
    (void)state;
    const char *folder = ex_temp_path("new");
    job_fail_command(&cli_train, (const char *[]){"-c", yaml, "-q", "--json", "-o", folder, NULL},
                     folder);
}

static void test_train_in_bf16(void **state)
{
    (void)state;
    const char *folder = ex_temp_path("narrow");
    const char *const words[] = {"-c",   yaml, "-q",   "--json", "--precision",
                                 "bf16", "-o", folder, NULL};
    if (job_run_command(&cli_train, words) == EX_ERR_UNSUPPORTED) {
        print_message("%s: skipped\n", ex_error_message());
        skip();
    }
    job_fail_command(&cli_train, words, folder);
}

/* The server's momentum is one more thing that a checkpoint holds. */
static void test_train_with_fedavgm(void **state)
{
    (void)state;
    const char *folder = ex_temp_path("heavy");
    job_fail_command(&cli_train,
                     (const char *[]){"-c", yaml, "-q", "--json", "-s", "aggregation=fedavgm", "-s",
                                      "server.lr=0.1", "-o", folder, NULL},
                     folder);
    char resumed[512];
    snprintf(resumed, sizeof resumed, "%s", folder);
    assert_ok(job_run_command(
        &cli_train, (const char *[]){"-c", yaml, "-q", "-s", "aggregation=fedavgm", "-s",
                                     "server.lr=0.1", "--overwrite", "-o", resumed, NULL}));
    job_fail_command(&cli_train, (const char *[]){"--resume", "-q", "--json", "-o", resumed, NULL},
                     "");
}

static void test_train_by_timed_algorithms(void **state)
{
    (void)state;
    const char *folder = ex_temp_path("timed");
    job_fail_each(&(job){.command = &cli_train,
                         .words = (const char *[]){"-c", yaml, "-q", "--json", "-s", "conv=auto",
                                                   "-o", folder, NULL},
                         .output = folder,
                         .timed = true});
}

static void test_dry_run(void **state)
{
    (void)state;
    job_fail_each(&(job){.command = &cli_train,
                         .words = (const char *[]){"-c", yaml, "-q", "--json", "--dry-run", NULL},
                         .output = "",
                         .timed = true}); /* it tells how long a step takes */
}

/* What only this data set asks for, as the others have gone before. */
static void train_on(const char *dataset, const char *dir)
{
    char set[64], where[512];
    const char *folder = ex_temp_path("new");
    snprintf(set, sizeof set, "dataset=%s", dataset);
    snprintf(where, sizeof where, "data_dir=%s", dir);
    const char *const words[] = {"-c", yaml,  "-q", "--json", "-s", set,
                                 "-s", where, "-o", folder,   NULL};
    job_fail_each(&(job){.command = &cli_train, .words = words, .output = folder, .all = true});
}

static void test_idx_and_cifar_data(void **state)
{
    (void)state;
    train_on("mnist", idx);
    train_on("cifar10", cifar);
}

static void test_train_resumed(void **state)
{
    (void)state;
    job_fail_command(&cli_train, (const char *[]){"--resume", "-q", "--json", "-o", trained, NULL},
                     "");
}

static void test_eval(void **state)
{
    (void)state;
    const char *file = ex_temp_path("new.logits");
    job_fail_command(&cli_eval, (const char *[]){trained, "-q", "--json", NULL}, "");
    job_fail_command(&cli_eval, (const char *[]){trained, "-q", "--json", "--logits", file, NULL},
                     file);
}

static void test_ablate(void **state)
{
    (void)state;
    const char *file = ex_temp_path("new.csv");
    job_fail_command(&cli_ablate,
                     (const char *[]){trained, "-q", "--json", "--class", "1", "-o", file, NULL},
                     file);
}

static void test_unlearn(void **state)
{
    (void)state;
    static const char *const methods[] = {"ce", "de", "retrain", "head"};
    const char *folder = ex_temp_path("new");
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        job_fail_command(&cli_unlearn,
                         (const char *[]){trained, "-q", "--json", "--method", methods[i],
                                          "--class", "1", "-o", folder, NULL},
                         folder);
    job_fail_command(&cli_unlearn,
                     (const char *[]){trained, "-q", "--json", "--method", "ce", "--class", "1",
                                      "--effects", effects, "-o", folder, NULL},
                     folder);
}

/* To PyTorch's names, as another file has them, and back. */
static void test_convert(void **state)
{
    (void)state;
    char named[512], file[512];
    snprintf(named, sizeof named, "%s", ex_temp_path("named"));
    snprintf(file, sizeof file, "%s", ex_temp_path("new"));
    assert_ok(job_run_command(&cli_convert, (const char *[]){trained, named, "--to", "pytorch",
                                                             "--naming", "kuangliu", NULL}));
    job_fail_command(
        &cli_convert,
        (const char *[]){trained, file, "--to", "pytorch", "--like", named, "--json", NULL}, file);
    job_fail_command(&cli_convert,
                     (const char *[]){named, file, "--from", "pytorch", "--json", NULL}, file);
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
    assert_ok(job_run_command(&cli_unlearn, words));
    const long all = ex_allocations();
    for (int i = 1; i < POINTS; i++) {
        job_remove(starved);
        ex_fail_allocations_from(all * i / POINTS, look);
        const ex_status status = job_run_command(&cli_unlearn, words);
        ex_fail_allocation(0);
        assert_status(status, EX_ERR_MEMORY);
        if (had_started != holds("checkpoint/round-0.bin") ||
            (had_effects && !holds("effects.csv")))
            fail_msg("without allocation %ld of %ld and those after it: what was complete is gone",
                     all * i / POINTS, all);
        if (had_started)
            assert_ok(job_run_command(&cli_unlearn, resume));
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
    assert_ok(job_run_command(&cli_unlearn, (const char *[]){trained, "-q", "--method", "ce",
                                                             "--class", "1", "-o", folder, NULL}));
    job_fail_command(&cli_unlearn, (const char *[]){"--resume", "-q", "--json", "-o", folder, NULL},
                     "");
}

/* All that a session can. What it gives goes where a command's goes. */
static ex_status use_session(excise_session *s, const char *file)
{
    double accuracy;
    char *report = NULL;
    const int channels = excise_channel_count(s);
    excise_effect *found;
    ex_status status;
    EX_TRY(ex_alloc(&found, (size_t)channels, sizeof *found, "the test's"));
    EX_TRY_GOTO((ex_status)excise_evaluate(s, EXCISE_TEST, &accuracy, NULL, NULL), done);
    EX_TRY_GOTO((ex_status)excise_effects(s, 1, found), done);
    EX_TRY_GOTO((ex_status)excise_unlearn(s, "ce", 1, NULL, &report), done);
    EX_TRY_GOTO((ex_status)excise_save(s, file), done);
    puts(report);
done:
    excise_free(report);
    ex_free(&found);
    return status;
}

static const char *saved;

static ex_status use_library(void)
{
    excise_session *s;
    EX_TRY((ex_status)excise_open(&s, trained, NULL, NULL));
    const ex_status status = use_session(s, saved);
    excise_close(&s);
    return status;
}

static void test_library(void **state)
{
    (void)state;
    saved = ex_temp_path("saved");
    job_fail_each(&(job){.name = "libexcise", .call = use_library, .output = saved});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_train),
        cmocka_unit_test(test_train_in_bf16),
        cmocka_unit_test(test_train_with_fedavgm),
        cmocka_unit_test(test_train_by_timed_algorithms),
        cmocka_unit_test(test_dry_run),
        cmocka_unit_test(test_idx_and_cifar_data),
        cmocka_unit_test(test_train_resumed),
        cmocka_unit_test(test_eval),
        cmocka_unit_test(test_ablate),
        cmocka_unit_test(test_unlearn),
        cmocka_unit_test(test_unlearn_resumed),
        cmocka_unit_test(test_convert),
        cmocka_unit_test(test_unlearn_keeps_what_is_complete_when_memory_is_gone),
        cmocka_unit_test(test_a_file_is_read_into_one_block),
        cmocka_unit_test(test_library),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
