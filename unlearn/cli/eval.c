/* excise eval: accuracy of a model, in all and by class. */
#include "output.h"
#include "session.h"

#include <math.h>
#include <stdio.h>

static void print_accuracy(const char *name, const ex_accuracy *a, int label)
{
    printf("%s accuracy  %.4f (%zu of %zu), loss %.4f\n", name,
           a->count ? (double)a->correct / (double)a->count : NAN, a->correct, a->count, a->loss);
    if (label >= 0)
        printf("  class %d  %.4f, the others  %.4f\n", label, ex_accuracy_class(a, label),
               ex_accuracy_others(a, label));
    for (int c = 0; c < a->classes; c++)
        printf("  class %-4d %.4f  (%zu of %zu)\n", c, ex_accuracy_class(a, c), a->class_correct[c],
               a->class_count[c]);
}

static ex_status evaluate(ex_accuracy *out, ex_federation *f, const ex_dataset *data)
{
    ex_samples all = {0};
    EX_TRY(ex_samples_all(&all, data));
    const ex_status status = ex_federation_evaluate(f, data, &all, out);
    ex_samples_free(&all);
    return status;
}

static ex_status run_eval(const cli_args *args)
{
    cli_session s;
    ex_accuracy test = {0}, train = {0};
    json_t *report = NULL;
    ex_status status;
    EX_TRY(cli_session_init(&s, args));
    const int label = s.config.unlearn.class_label;
    EX_TRY_GOTO(cli_session_open(&s), done);
    EX_TRY_GOTO(evaluate(&test, s.f, &s.f->data->test), done);
    if (args->train_data)
        EX_TRY_GOTO(evaluate(&train, s.f, &s.f->data->train), done);
    if (args->json) {
        report = cli_provenance(s.f);
        json_object_set_new(report, "command", json_string("eval"));
        json_object_set_new(report, "test", cli_accuracy(&test, label));
        json_object_set_new(report, "train",
                            args->train_data ? cli_accuracy(&train, label) : json_null());
        cli_print_json(report);
    } else {
        print_accuracy("test", &test, label);
        if (args->train_data)
            print_accuracy("train", &train, label);
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
    {"class", 0, "K", CLI_KEY_OPTION("unlearn.class"),
     .help = "show this class against all others"},
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
