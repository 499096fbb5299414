/* contract RUN EMPTY_FOLDER [LOCALE]: what excise.h promises beyond success, to a program with this
 * locale, in which numbers have a comma. Prints what is not so. */
#include <excise.h>

#include <dlfcn.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

static int failures;
static char point[8]; /* what stands before the fraction of a number in this program */
static int (*max_threads)(void);
static int threads; /* of OpenMP, as this program has it */

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: not so: %s (last message: %s)\n", __LINE__, #condition,      \
                    excise_error_message());                                                       \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

/* What the library sets for itself within a call does not show outside. */
static int thread_is_kept(void)
{
    char half[8];
    snprintf(half, sizeof half, "%.1f", 0.5);
    return half[1] == point[0] && strcmp(localeconv()->decimal_point, point) == 0 &&
           max_threads() == threads;
}

/* What is to be kept. OpenMP comes along with the library. */
static void look_at_thread(const char *locale)
{
    void *symbol = dlsym(dlopen(NULL, RTLD_LAZY), "omp_get_max_threads");
    CHECK(symbol);
    if (!symbol)
        exit(1);
    memcpy(&max_threads, &symbol, sizeof symbol);
    threads = max_threads();
    CHECK(!locale || (setlocale(LC_ALL, locale) && *localeconv()->decimal_point == ','));
    snprintf(point, sizeof point, "%s", localeconv()->decimal_point);
}

static int says(const char *words)
{
    return strstr(excise_error_message(), words) != NULL;
}

static void check_open(const char *run)
{
    static const char *const unknown[] = {"no_such_key=1", NULL};
    excise_session *s;
    CHECK(excise_open(&s, "/nowhere", NULL, NULL) == EXCISE_ERR_INPUT && !s && says("/nowhere"));
    CHECK(excise_open(&s, run, NULL, unknown) == EXCISE_ERR_CONFIG && !s && says("no_such_key"));
    CHECK(excise_open(&s, NULL, NULL, NULL) == EXCISE_ERR_USAGE && !s);
    char model[4096];
    snprintf(model, sizeof model, "%s/model.safetensors", run);
    CHECK(excise_open(&s, model, NULL, NULL) == EXCISE_ERR_USAGE && !s && says("bare model"));
    excise_close(&s);
    CHECK(strcmp(excise_status_text(EXCISE_ERR_INPUT), "bad input") == 0);
    CHECK(strcmp(excise_status_text((excise_status)99), "unknown status") == 0);
}

static void check_model(const excise_session *s)
{
    int channels = 0;
    for (int i = 0; i < excise_layer_count(s); i++)
        channels += excise_layer_channels(s, i);
    CHECK(strcmp(excise_model_name(s), "resnet20") == 0 && excise_class_count(s) == 10);
    CHECK(channels == excise_channel_count(s) && channels > 0);
    CHECK(strcmp(excise_layer_name(s, 0), "conv_bn.conv") == 0);
    CHECK(!excise_layer_name(s, -1) && !excise_layer_name(s, excise_layer_count(s)));
    CHECK(excise_layer_channels(s, excise_layer_count(s)) == 0);
}

/* Refused and interrupted, the session holds the model from before. */
static void check_failures(excise_session *s, const char *run, const char *folder)
{
    char *report = "not touched";
    CHECK(excise_unlearn(s, "magic", 1, NULL, &report) == EXCISE_ERR_USAGE && !report);
    CHECK(says("de-random"));
    CHECK(excise_unlearn(s, "ce", 10, NULL, NULL) == EXCISE_ERR_USAGE && says("0 to 9"));
    CHECK(excise_unlearn(s, "ce", 1, run, NULL) == EXCISE_ERR_USAGE && says("is read"));
    excise_interrupt(1);
    CHECK(excise_unlearn(s, "head", 1, NULL, &report) == EXCISE_INTERRUPTED && !report);
    CHECK(excise_unlearn(s, "retrain", 1, folder, &report) == EXCISE_INTERRUPTED && !report);
    excise_interrupt(0);
    CHECK(excise_evaluate(s, (excise_samples)7, NULL, NULL, NULL) == EXCISE_ERR_USAGE);
    CHECK(excise_save(s, "/nowhere/model.safetensors") == EXCISE_ERR_IO);
    CHECK(excise_save(s, NULL) == EXCISE_ERR_USAGE && says("not NULL"));
    CHECK(excise_save(s, "kept.safetensors") == EXCISE_OK);
}

typedef struct worker {
    const char *run, *output;
    excise_status status;
} worker;

static int work(void *context)
{
    worker *w = context;
    excise_session *s = NULL;
    w->status = excise_open(&s, w->run, NULL, NULL);
    if (w->status == EXCISE_OK)
        w->status = excise_unlearn(s, "head", 1, NULL, NULL);
    if (w->status == EXCISE_OK)
        w->status = excise_save(s, w->output);
    excise_close(&s);
    return 0;
}

/* Sessions of different threads do not disturb each other: both give the folder's model. */
static void check_threads(const char *run)
{
    worker workers[] = {{.run = run, .output = "thread-0.safetensors"},
                        {.run = run, .output = "thread-1.safetensors"}};
    thrd_t threads[2];
    for (int i = 0; i < 2; i++)
        if (thrd_create(&threads[i], work, &workers[i]) != thrd_success)
            abort();
    for (int i = 0; i < 2; i++) {
        thrd_join(threads[i], NULL);
        CHECK(workers[i].status == EXCISE_OK);
    }
}

/* Fractions come from text and go to text: effects.csv, config.yaml, report.json. */
static void check_numbers(const char *run)
{
    static const char *const settings[] = {"server.threads=1", NULL};
    static const char *const bad[] = {"lr=0,5", NULL};
    excise_session *s = NULL;
    CHECK(excise_open(&s, run, NULL, bad) == EXCISE_ERR_CONFIG && !s && says("lr is \"0,5\""));
    CHECK(excise_open(&s, run, NULL, settings) == EXCISE_OK && thread_is_kept());
    if (!s)
        return;
    CHECK(excise_evaluate(s, EXCISE_TEST, NULL, NULL, NULL) == EXCISE_OK && thread_is_kept());
    CHECK(excise_unlearn(s, "ce", 1, "numbers", NULL) == EXCISE_OK && thread_is_kept());
    CHECK(excise_unlearn(s, "magic", 1, NULL, NULL) == EXCISE_ERR_USAGE && thread_is_kept());
    CHECK(excise_save(s, "numbers.safetensors") == EXCISE_OK && thread_is_kept());
    excise_close(&s);
    CHECK(thread_is_kept());
}

int main(int argc, char **argv)
{
    excise_session *s = NULL;
    double before[10], after[10], all, loss;
    char *report = NULL;
    if (argc != 3 && argc != 4)
        return 2;
    look_at_thread(argv[3]);
    check_open(argv[1]);
    CHECK(excise_open(&s, argv[1], NULL, NULL) == EXCISE_OK);
    if (!s)
        return 1;
    check_model(s);
    CHECK(excise_evaluate(s, EXCISE_TEST, &all, &loss, before) == EXCISE_OK);
    check_failures(s, argv[1], argv[2]);
    CHECK(excise_evaluate(s, EXCISE_TEST, NULL, NULL, after) == EXCISE_OK);
    CHECK(memcmp(before, after, sizeof before) == 0);
    CHECK(excise_unlearn(s, "head", 1, "forgot", &report) == EXCISE_OK && report);
    CHECK(excise_unlearn(s, "head", 2, "forgot", NULL) == EXCISE_ERR_EXISTS);
    if (report)
        puts(report);
    excise_free(report);
    excise_close(&s);
    CHECK(!s);
    excise_close(&s);
    check_threads(argv[1]);
    check_numbers(argv[1]);
    return failures != 0;
}
