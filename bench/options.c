/* One table of options: it parses, and it is the help. */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum option_kind {
    OPTION_MODEL,
    OPTION_DEVICE, /* a text that ex_device_open judges */
    OPTION_CHOICE,
    OPTION_INT,
    OPTION_SHARE,
    OPTION_BYTES, /* as the configuration's `memory` is written */
    OPTION_FLAG
} option_kind;

typedef struct option_row {
    const char *name; /* with the dashes */
    option_kind kind;
    size_t offset; /* into bench_options */
    const char *const *choices;
    int min, max;
    int initial;
    const char *help;
} option_row;

#define LIST(...)                                                                                  \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }
#define AT(member) .offset = offsetof(bench_options, member)

enum {
    BATCH_MAX = 1 << 14,
    PROBE_MAX = 1 << 20,
    SAMPLES_MAX = 1 << 16,
    THREADS_MAX = 1024,
    REPETITIONS_MAX = 1 << 20,
    LAYERS_MAX = 1 << 10
};

static const option_row rows[] = {
    {"--model", OPTION_MODEL, AT(model), .help = "the architecture (resnet20)"},
    /* Each by the name of a data set and by its size: see bench_parse. */
    {"--shape", OPTION_CHOICE, AT(shape), .choices = LIST("cifar", "fashion", "3x32x32", "1x28x28"),
     .help = "images of 3x32x32 or of 1x28x28 (cifar)"},
    {"--batch", OPTION_INT, AT(batch), .min = 1, .max = BATCH_MAX, .initial = 128,
     .help = "all but ablate: images in a batch (128)"},
    {"--threads", OPTION_INT, AT(threads), .min = 1, .max = THREADS_MAX, .initial = 2,
     .help = "threads in all (2)"},
    {"--lanes", OPTION_INT, AT(lanes), .max = THREADS_MAX,
     .help = "ablate: lanes of one thread each; 0: as many as threads (0)"},
    {"--probe", OPTION_INT, AT(probe), .min = 1, .max = PROBE_MAX, .initial = 256,
     .help = "ablate: images that every channel is judged on (256)"},
    {"--strategy", OPTION_CHOICE, AT(strategy), .choices = LIST("naive", "streams", "batched"),
     .initial = EX_STRATEGY_BATCHED, .help = "ablate: how channels are evaluated (batched)"},
    {"--selection", OPTION_FLAG, AT(selection),
     .help = "ablate: also how many of the channels selected float32 selects too"},
    {"--delta", OPTION_SHARE, AT(delta),
     .help = "masked steps, --selection, kernels: share of each layer's channels (0.05)"},
    {"--bn", OPTION_CHOICE, AT(norm), .choices = LIST("train", "frozen"),
     .help = "masked steps: norms by the batch, or by running statistics (train)"},
    {"--last-layers", OPTION_INT, AT(last_layers), .max = LAYERS_MAX,
     .help = "masked steps: channels of so many layers from the end; 0: of all (0)"},
    {"--samples", OPTION_INT, AT(samples), .min = 1, .max = SAMPLES_MAX, .initial = 50,
     .help = "clients: images of each (50)"},
    {"--use", OPTION_CHOICE, AT(use), .choices = LIST("train", "evaluate", "masked"),
     .help = "roofline: a training step, an evaluation of a batch, or a masked step (train)"},
    {"--conv", OPTION_CHOICE, AT(conv), .choices = LIST("auto", "direct"),
     .help = "convolutions: timed and chosen, or direct only (auto)"},
    {"--device", OPTION_DEVICE, AT(device), .choices = LIST("auto", "cpu", "cuda", "cuda:N"),
     .help = "what is measured (auto)"},
    {"--precision", OPTION_CHOICE, AT(precision), .choices = LIST("fp32", "tf32", "bf16"),
     .help = "of convolutions and matrix products (fp32)"},
    {"--memory", OPTION_BYTES, AT(memory),
     .help = "that plans may take in all, which decides ablate's batches; 0: no limit (0)"},
    {"--repetitions", OPTION_INT, AT(repetitions), .max = REPETITIONS_MAX,
     .help = "timings taken; 0: the benchmark's own number (0)"},
    {"--json", OPTION_FLAG, AT(json), .help = "a JSON object in the last line"},
    {"--help", OPTION_FLAG, AT(help), .help = "print this help"},
};
enum { ROWS = sizeof rows / sizeof *rows };

static const char *const *choices_of(const option_row *row)
{
    return row->kind == OPTION_MODEL ? ex_model_names() : row->choices;
}

/* "one of a, b, c", "a number from 1 to 9". */
static void describe(const option_row *row, char *text, size_t room)
{
    if (row->kind == OPTION_INT) {
        snprintf(text, room, "a number from %d to %d", row->min, row->max);
        return;
    }
    if (row->kind == OPTION_BYTES) {
        snprintf(text, room, "bytes, such as 512M or 4G; 0 for no limit");
        return;
    }
    if (row->kind == OPTION_SHARE) {
        snprintf(text, room, "a number above 0, at most 1");
        return;
    }
    size_t at = (size_t)snprintf(text, room, "one of");
    const char *const *choices = choices_of(row);
    for (int i = 0; choices[i] && at < room; i++)
        at += (size_t)snprintf(text + at, room - at, "%s %s", i ? "," : "", choices[i]);
}

static ex_status refuse(const option_row *row, const char *value)
{
    char accepted[256];
    describe(row, accepted, sizeof accepted);
    return EX_FAIL(EX_ERR_USAGE, "%s is \"%s\"; %s is expected", row->name, value, accepted);
}

static ex_status set_int(int *out, const option_row *row, const char *value)
{
    char *end;
    errno = 0;
    const long number = strtol(value, &end, 10);
    if (errno || end == value || *end || number < row->min || number > row->max)
        return refuse(row, value);
    *out = (int)number;
    return EX_OK;
}

static ex_status set_share(double *out, const option_row *row, const char *value)
{
    char *end;
    const double number = strtod(value, &end);
    if (end == value || *end || !(number > 0.0 && number <= 1.0))
        return refuse(row, value);
    *out = number;
    return EX_OK;
}

static ex_status set_bytes(size_t *out, const option_row *row, const char *value)
{
    ex_config c;
    char assignment[64];
    ex_config_default(&c);
    const int length = snprintf(assignment, sizeof assignment, "memory=%s", value);
    if (length < 0 || (size_t)length >= sizeof assignment ||
        ex_config_set(&c, assignment, row->name) != EX_OK)
        return refuse(row, value);
    *out = c.memory;
    return EX_OK;
}

static ex_status set(bench_options *o, const option_row *row, const char *value)
{
    void *member = (char *)o + row->offset;
    if (row->kind == OPTION_DEVICE) {
        *(const char **)member = value;
        return EX_OK;
    }
    if (row->kind == OPTION_INT)
        return set_int(member, row, value);
    if (row->kind == OPTION_SHARE)
        return set_share(member, row, value);
    if (row->kind == OPTION_BYTES)
        return set_bytes(member, row, value);
    const char *const *choices = choices_of(row);
    int i = 0;
    while (choices[i] && strcmp(choices[i], value) != 0)
        i++;
    if (!choices[i])
        return refuse(row, value);
    if (row->kind == OPTION_MODEL)
        *(const char **)member = choices[i];
    else
        *(int *)member = i;
    return EX_OK;
}

/* The row of "--name" or "--name=value"; *value points behind the =, or is NULL. */
static const option_row *find(const char *word, const char **value)
{
    const size_t length = strcspn(word, "=");
    *value = word[length] ? word + length + 1 : NULL;
    for (int i = 0; i < ROWS; i++)
        if (strlen(rows[i].name) == length && strncmp(rows[i].name, word, length) == 0)
            return &rows[i];
    return NULL;
}

static ex_status refuse_unknown(const char *word)
{
    char names[512];
    size_t at = 0;
    for (int i = 0; i < ROWS && at < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "", rows[i].name);
    return EX_FAIL(EX_ERR_USAGE, "unknown option \"%s\"; one of %s", word, names);
}

static void set_defaults(bench_options *o)
{
    *o = (bench_options){.model = "resnet20", .device = "auto", .delta = 0.05};
    for (int i = 0; i < ROWS; i++)
        if (rows[i].kind == OPTION_INT || rows[i].kind == OPTION_CHOICE)
            *(int *)((char *)o + rows[i].offset) = rows[i].initial;
}

ex_status bench_parse(bench_options *o, int argc, char **argv)
{
    set_defaults(o);
    for (int i = 1; i < argc; i++) {
        const char *value;
        const option_row *row = find(argv[i], &value);
        if (!row)
            return refuse_unknown(argv[i]);
        if (row->kind == OPTION_FLAG) {
            if (value)
                return EX_FAIL(EX_ERR_USAGE, "%s takes no value", row->name);
            *(bool *)((char *)o + row->offset) = true;
            continue;
        }
        if (!value && i + 1 < argc)
            value = argv[++i];
        if (!value)
            return EX_FAIL(EX_ERR_USAGE, "%s needs a value", row->name);
        EX_TRY(set(o, row, value));
    }
    o->shape %= BENCH_SHAPES;
    return EX_OK;
}

void bench_print_options(void)
{
    for (int i = 0; i < ROWS; i++) {
        char accepted[256];
        printf("  %-14s %s\n", rows[i].name, rows[i].help);
        if (rows[i].kind == OPTION_FLAG)
            continue;
        describe(&rows[i], accepted, sizeof accepted);
        printf("  %14s %s\n", "", accepted);
    }
}

const char *bench_choice(const char *option, int value)
{
    const char *unused;
    return find(option, &unused)->choices[value];
}
