/* excise unlearn: removes a class from a model, and reports effect and cost. */
#include "report.h"
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

static ex_status read_effects(ex_effects **out, const ex_federation *f, const char *path)
{
    return ex_effects_read(out, f->model, ex_model_digest(f->model, f->params, f->stats), path);
}

static double number_at(const json_t *report, const char *section, const char *key)
{
    return json_number_value(json_object_get(json_object_get(report, section), key));
}

static void print_report(const json_t *report, const char *output)
{
    static const char *const keys[][2] = {
        {"forget_test", "the class, test"},
        {"retain_test", "the others, test"},
        {"forget_train", "the class, train"},
        {"retain_train", "the others, train"},
    };
    printf("run                %s\n%-18s %8s %8s\n", output, "accuracy of", "before", "after");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        printf("%-18s %8.4f %8.4f\n", keys[i][1], number_at(report, "before", keys[i][0]),
               number_at(report, "after", keys[i][0]));
    char up[32], down[32];
    cli_format_bytes(number_at(report, "cost", "bytes_up"), up, sizeof up);
    cli_format_bytes(number_at(report, "cost", "bytes_down"), down, sizeof down);
    printf("compute            %.2f s, and %.2f s of ablation\n"
           "sent               %s up, %s down in %.0f rounds\n"
           "stored samples     %.0f\n",
           number_at(report, "cost", "compute_s"), number_at(report, "cost", "ablation_s"), up,
           down, number_at(report, "cost", "rounds"), number_at(report, "cost", "stored_samples"));
}

/* Whatever stops it, RUN2 is complete or not there at all. */
static ex_status unlearn_into(ex_run *run, ex_federation *f, const ex_method *method,
                              ex_effects *effects, json_t **report)
{
    EX_TRY(ex_config_write(&f->config, ex_run_path(run, "config.yaml")));
    EX_TRY(ex_unlearn(f, method, f->config.unlearn.class_label, effects, run, report));
    return ex_device_write_algorithms(f->device, ex_run_path(run, "algorithms.json"));
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
    if (args->effects && method->needs_effects)
        EX_TRY_GOTO(read_effects(&effects, s.f, args->effects), done);
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
    .description =
        "Methods: ce (server only), de (with the clients), de-random and head (controls), "
        "retrain.\nWrites RUN2: config.yaml, metrics.jsonl, model.safetensors, "
        "effects.csv and mask.json where\nthe method has them, ledger.json, "
        "algorithms.json and report.json. RUN stays as it is.",
    .example = "  excise unlearn runs/demo/train --method ce --class 1 -o runs/demo/ce\n"
               "  excise unlearn runs/demo/train --method de --class 1 --delta 0.05 \\\n"
               "      --effects runs/demo/ce/effects.csv -o runs/demo/de\n",
    .options = options,
    .configured = true,
    .takes_subject = true,
    .run = run_unlearn,
};
