/* excise eval: accuracy of a model, in all and by class. */
#include "output.h"
#include "session.h"

#include <stdio.h>

/* "0.8732 (1746 of 2000)" */
static void print_share(const char *label, int width, size_t correct, size_t count)
{
    printf("%-*s ", width, label);
    if (count > 0)
        printf("%.4f  (%zu of %zu)\n", (double)correct / (double)count, correct, count);
    else
        printf("-       (no samples)\n");
}

/* "  class 1 Trouser"; returns its length. */
static int name_class(char *text, size_t room, const ex_class_names *names, int label)
{
    const char *name = ex_class_name(names, label);
    return snprintf(text, room, "  class %d%s%.96s", label, name ? " " : "", name ? name : "");
}

static void print_accuracy(const char *name, const ex_accuracy *a, const ex_class_names *names,
                           int label)
{
    char text[128], loss[CLI_NUMBER_ROOM];
    int width = 16;
    for (int c = 0; c < a->classes; c++) {
        const int length = name_class(text, sizeof text, names, c);
        width = length > width ? length : width;
    }
    snprintf(text, sizeof text, "%s accuracy", name);
    print_share(text, width, a->correct, a->count);
    snprintf(text, sizeof text, "%s loss", name);
    printf("%-*s %s\n", width, text, cli_measured(loss, a->loss, a->count));
    for (int c = 0; c < a->classes; c++) {
        name_class(text, sizeof text, names, c);
        print_share(text, width, a->class_correct[c], a->class_count[c]);
    }
    if (label >= 0)
        print_share("  all others", width, a->correct - a->class_correct[label],
                    a->count - a->class_count[label]);
}

static ex_status check_class(const cli_args *args, int label)
{
    return args->class_text && label < 0
               ? EX_FAIL(EX_ERR_USAGE,
                         "--class is \"%s\"; one class is expected: every class is shown anyway",
                         args->class_text)
               : EX_OK;
}

static ex_status run_eval(const cli_args *args)
{
    cli_session s;
    ex_accuracy test = {0}, train = {0};
    json_t *report = NULL;
    ex_status status;
    if (args->logits)
        EX_TRY(cli_check_target(args->logits, args->overwrite));
    EX_TRY(cli_session_init(&s, args));
    const int label = s.config.unlearn.class_label;
    EX_TRY_GOTO(check_class(args, label), done);
    EX_TRY_GOTO(cli_session_open(&s), done);
    EX_TRY_GOTO(ex_federation_evaluate(s.f, &s.f->data->test, NULL, &test), done);
    if (args->train_data)
        EX_TRY_GOTO(ex_federation_evaluate(s.f, &s.f->data->train, NULL, &train), done);
    if (args->logits)
        EX_TRY_GOTO(cli_write_logits(s.f, args->logits), done);
    if (args->json) {
        report = cli_provenance(s.f);
        json_object_set_new(report, "command", json_string("eval"));
        json_object_set_new(report, "class_names", cli_class_names(s.f));
        json_object_set_new(report, "test", cli_accuracy(&test, label));
        json_object_set_new(report, "train",
                            args->train_data ? cli_accuracy(&train, label) : json_null());
        status = cli_print_json(report);
    } else {
        print_accuracy("test", &test, &s.f->data->names, label);
        if (args->train_data)
            print_accuracy("train", &train, &s.f->data->names, label);
    }
done:
    json_decref(report);
    ex_accuracy_free(&test);
    ex_accuracy_free(&train);
    cli_session_close(&s);
    return status;
}

static const cli_option options[] = {
    {"train", 0, NULL, CLI_FLAG_OPTION(train_data), .help = "evaluate the training samples too"},
    {"logits", 0, "FILE", CLI_TEXT_OPTION(logits),
     .help = "write the test samples' logits and labels to FILE.safetensors"},
    {"overwrite", 0, NULL, CLI_FLAG_OPTION(overwrite), .help = "replace FILE"},
    {"class", 0, "K", CLI_TEXT_OPTION(class_text),
     .help = "show also how all classes but this one do; by number or name"},
    {0},
};

const cli_command cli_eval = {
    .name = "eval",
    .summary = "accuracy of a model, in all and by class",
    .usage = "RUN [options] | MODEL.safetensors -c EXP.yaml [options]",
    .description =
        "Evaluates on the test samples of the configured data set. A RUN brings its own\n"
        "configuration; a bare model needs -c.",
    .example = "  excise eval runs/demo/train --json\n"
               "  excise eval model.safetensors -c bench/demo_fashion_mnist.yaml --train\n",
    .options = options,
    .configured = true,
    .takes_subject = true,
    .run = run_eval,
};
