/* excise unlearn: removes a class from a model, and reports effect and cost. */
#include "output.h"
#include "session.h"

#include "base/log.h"
#include "io/file.h"
#include "method.h"

#include <stdio.h>
#include <string.h>

static ex_status check_request(const cli_session *s, const cli_args *args, const ex_method **method)
{
    EX_TRY(ex_method_find(method, s->config.unlearn.method));
    if (s->config.unlearn.class_label < 0)
        return EX_FAIL(EX_ERR_USAGE, "--class K must name the class that goes");
    if (!args->output)
        return EX_FAIL(EX_ERR_USAGE, "-o RUN2 must name the folder that the result is written to");
    if (args->effects && !(*method)->needs_effects)
        ex_log_warn("--effects %s is not used: method %s needs no effects", args->effects,
                    (*method)->name);
    EX_TRY(cli_check_output(s, args->output));
    return ex_run_check(args->output, args->overwrite ? EX_RUN_OVERWRITE : EX_RUN_NEW);
}

/* Everything that can be wrong with the request, before anything is written. */
static ex_status check_work(ex_effects **effects, const ex_federation *f, const ex_method *method,
                            const char *effects_path)
{
    if (effects_path && method->needs_effects)
        EX_TRY(ex_effects_read(effects, f->model, ex_model_digest(f->model, f->params, f->stats),
                               effects_path));
    return ex_unlearn_check(f, method, f->config.unlearn.class_label, *effects);
}

typedef enum report_unit { SHARE, SECONDS, BYTES, COUNT } report_unit;

/* report[section][key] as text; "-" where it was not measured. */
static const char *cell(char text[32], const json_t *report, const char *section, const char *key,
                        report_unit unit)
{
    const json_t *number = json_object_get(json_object_get(report, section), key);
    const double value = json_number_value(number);
    if (!json_is_number(number))
        snprintf(text, 32, "-");
    else if (unit == BYTES)
        cli_format_bytes(value, text, 32);
    else
        snprintf(text, 32, unit == SHARE ? "%.4f" : unit == SECONDS ? "%.2f s" : "%.0f", value);
    return text;
}

static void print_report(const json_t *report, const char *output)
{
    static const char *const accuracies[][2] = {
        {"forget_test", "the class, test"},
        {"retain_test", "the others, test"},
        {"forget_train", "the class, train"},
        {"retain_train", "the others, train"},
    };
    static const struct {
        const char *key, *label;
        report_unit unit;
    } costs[] = {
        {"compute_s", "compute", SECONDS},
        {"ablation_s", "ablation", SECONDS},
        {"client_s", "clients", SECONDS},
        {"rounds", "rounds", COUNT},
        {"bytes_up", "sent up", BYTES},
        {"bytes_down", "sent down", BYTES},
        {"stored_samples", "stored samples", COUNT},
    };
    char before[32], after[32];
    printf("%-18s %s\n%-18s %10s %10s\n", "run", output, "accuracy of", "before", "after");
    for (size_t i = 0; i < sizeof accuracies / sizeof *accuracies; i++)
        printf("%-18s %10s %10s\n", accuracies[i][1],
               cell(before, report, "before", accuracies[i][0], SHARE),
               cell(after, report, "after", accuracies[i][0], SHARE));
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++)
        printf("%-18s %10s\n", costs[i].label,
               cell(after, report, "cost", costs[i].key, costs[i].unit));
}

/* Whatever stops it, RUN2 is complete or not there at all. */
static ex_status unlearn_into(ex_run *run, ex_federation *f, const ex_method *method,
                              ex_effects *effects, json_t **report)
{
    EX_TRY(ex_config_write(&f->config, ex_run_path(run, "config.yaml")));
    return ex_unlearn(f, method, f->config.unlearn.class_label, effects, run, report);
}

static ex_status run_unlearn(const cli_args *args)
{
    cli_session s;
    const ex_method *method;
    ex_effects *effects = NULL;
    ex_run *run = NULL;
    json_t *report = NULL;
    ex_status status;
    EX_TRY(cli_session_init(&s, args));
    EX_TRY(check_request(&s, args, &method));
    EX_TRY_GOTO(cli_session_open(&s), done);
    EX_TRY_GOTO(check_work(&effects, s.f, method, args->effects), done);
    EX_TRY_GOTO(ex_run_open(&run, args->output, args->overwrite ? EX_RUN_OVERWRITE : EX_RUN_NEW),
                done);
    EX_TRY_GOTO(unlearn_into(run, s.f, method, effects, &report), done);
    if (args->json)
        cli_print_json(report);
    else
        print_report(report, args->output);
    ex_run_close(&run);
done:
    ex_run_discard(&run);
    if (status == EX_ERR_INTERRUPTED)
        status = EX_FAIL(EX_ERR_INTERRUPTED, "interrupted; nothing was written to %s, run it again",
                         args->output);
    json_decref(report);
    ex_effects_destroy(&effects);
    cli_session_close(&s);
    return status;
}

static void print_methods(void)
{
    printf("\nMethods:\n");
    for (const ex_method *const *m = ex_methods(); *m; m++)
        printf("  %-10s %s\n", (*m)->name, (*m)->help);
}

static const cli_option options[] = {
    {"output", 'o', "RUN2", CLI_TEXT_OPTION(output),
     .help = "folder of the result; made if missing"},
    {"method", 0, "NAME", CLI_KEY_OPTION("unlearn.method")},
    {"class", 0, "K", CLI_KEY_OPTION("unlearn.class")},
    {"delta", 0, "D", CLI_KEY_OPTION("unlearn.delta")},
    {"effects", 0, "FILE", CLI_TEXT_OPTION(effects),
     .help = "effects.csv of the same model; without it the channels are ablated first"},
    {"overwrite", 0, NULL, CLI_FLAG_OPTION(overwrite), .help = "replace the run that RUN2 holds"},
    {0},
};

const cli_command cli_unlearn = {
    .name = "unlearn",
    .summary = "remove a class from a trained model",
    .usage = "RUN --class K [options] -o RUN2 | MODEL.safetensors -c EXP.yaml --class K [options] "
             "-o RUN2",
    .description = "Writes RUN2: config.yaml, metrics.jsonl, model.safetensors, "
                   "effects.csv and mask.json where\nthe method has them, ledger.json, "
                   "algorithms.json and report.json. RUN stays as it is.",
    .describe = print_methods,
    .example = "  excise unlearn runs/demo/train --method ce --class 1 -o runs/demo/ce\n"
               "  excise unlearn runs/demo/train --method de --class 1 --delta 0.05 \\\n"
               "      --effects runs/demo/ce/effects.csv -o runs/demo/de\n",
    .options = options,
    .configured = true,
    .takes_subject = true,
    .run = run_unlearn,
};
