/* excise unlearn: removes a class from a model, and reports effect and cost. */
#include "output.h"
#include "ranks.h"
#include "session.h"

#include "base/bytes.h"
#include "base/log.h"
#include "io/file.h"
#include "method.h"
#include "progress.h"

#include <stdio.h>

static ex_status check_request(const cli_session *s, const cli_args *args, const ex_method **method)
{
    EX_TRY(ex_method_find(method, s->config.unlearn.method));
    if (s->config.unlearn.class_label < 0 && args->class_text)
        return EX_FAIL(EX_ERR_USAGE, "--class is \"%s\"; one class from 0 on, or its name",
                       args->class_text);
    if (s->config.unlearn.class_label < 0)
        return EX_FAIL(EX_ERR_USAGE,
                       "--class K must name the class that goes, by its number or its name");
    if (args->effects && args->resume && ex_run_has_checkpoint(args->output))
        ex_log_warn("--effects %s is not used: %s goes on with its own", args->effects,
                    args->output);
    else if (args->effects && !(*method)->needs_effects)
        ex_log_warn("--effects %s is not used: method %s needs no effects", args->effects,
                    (*method)->name);
    EX_TRY(ex_subject_check_output(&s->subject, args->output));
    return ex_run_check(args->output, cli_run_mode(args));
}

/* That the model, if one is named, is the one that the run began with. */
static ex_status check_model(const cli_session *s, const char *run)
{
    json_t *state;
    uint64_t began;
    const ex_federation *f = s->f;
    if (!s->subject.model[0])
        return EX_OK;
    EX_TRY(ex_run_peek(run, &state));
    const ex_status status = ex_unlearning_digest(&began, state, run);
    json_decref(state);
    EX_TRY(status);
    if (ex_model_digest(f->model, f->params, f->stats) != began)
        return EX_FAIL(EX_ERR_INPUT,
                       "%s is not the model that %s began with; leave it out, or name that one",
                       s->subject.model, run);
    return EX_OK;
}

/* *resume: there is a checkpoint to go on from. Stopped before its first, a run begins again. */
static ex_status check_resume(const cli_session *s, const cli_args *args, bool *resume)
{
    *resume = args->resume && ex_run_has_checkpoint(args->output);
    if (*resume)
        return check_model(s, args->output);
    if (args->resume && !s->subject.model[0])
        return EX_FAIL(EX_ERR_USAGE,
                       "%s was stopped before its first checkpoint; name its RUN or "
                       "MODEL.safetensors once more",
                       args->output);
    return EX_OK;
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
        ex_bytes_text(text, value);
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
    char before[32], after[32], class[CLI_CLASS_ROOM];
    printf("%-18s %s\n%-18s %s\n%-18s %10s %10s\n", "run", output, "class",
           cli_class(class, report), "accuracy of", "before", "after");
    for (size_t i = 0; i < sizeof accuracies / sizeof *accuracies; i++)
        printf("%-18s %10s %10s\n", accuracies[i][1],
               cell(before, report, "before", accuracies[i][0], SHARE),
               cell(after, report, "after", accuracies[i][0], SHARE));
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++)
        printf("%-18s %10s\n", costs[i].label,
               cell(after, report, "cost", costs[i].key, costs[i].unit));
}

static ex_status unlearn_into(cli_session *s, const cli_args *args, const ex_method *method,
                              json_t **report)
{
    int complete = -1;
    ex_status status;
    ex_request request = {.method = method, .label = s->config.unlearn.class_label};
    EX_TRY(check_resume(s, args, &request.resume));
    EX_TRY_GOTO(check_work(&request.effects, s->f, method, request.resume ? NULL : args->effects),
                done);
    status = ex_unlearn_into(s->f, &request, args->output, cli_run_mode(args), report, &complete);
    if (complete >= 0)
        status = cli_stopped(status, ex_resume_command("unlearn", args->output),
                             ex_method_unit(method), complete);
done:
    ex_effects_destroy(&request.effects);
    return status;
}

static ex_status run_unlearn(const cli_args *args)
{
    cli_session s;
    const ex_method *method;
    json_t *report = NULL;
    ex_status status;
    if (!args->output)
        return EX_FAIL(EX_ERR_USAGE, "-o RUN2 must name the folder that the result is written to");
    EX_TRY(cli_session_init(&s, args));
    EX_TRY(cli_join(&s.comm, &s.config, args->output));
    if (ex_comm_rank(s.comm) > 0)
        return cli_serve(&s.comm);
    EX_TRY_GOTO(check_request(&s, args, &method), done);
    EX_TRY_GOTO(cli_session_open(&s), done);
    EX_TRY_GOTO(unlearn_into(&s, args, method, &report), done);
    if (args->json)
        status = cli_print_json(report);
    else
        print_report(report, args->output);
done:
    json_decref(report);
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
    {"class", 0, "K", CLI_TEXT_OPTION(class_text),
     .help = "the class that goes: its number, or the name that the data set has for it"},
    {"delta", 0, "D", CLI_KEY_OPTION("unlearn.delta")},
    {"effects", 0, "FILE", CLI_TEXT_OPTION(effects),
     .help = "effects.csv of the same model; without it the channels are ablated first"},
    {"resume", 0, NULL, CLI_FLAG_OPTION(resume),
     .help = "go on from the last checkpoint in RUN2; RUN may be left out"},
    {"overwrite", 0, NULL, CLI_FLAG_OPTION(overwrite), .help = "replace the run that RUN2 holds"},
    {0},
};

const cli_command cli_unlearn = {
    .name = "unlearn",
    .summary = "remove a class from a trained model",
    .usage = "RUN --class K [options] -o RUN2 | MODEL.safetensors -c EXP.yaml --class K [options] "
             "-o RUN2 | -o RUN2 --resume",
    .description =
        "Writes RUN2: config.yaml, metrics.jsonl, model.safetensors, effects.csv and mask.json\n"
        "where the method has them, ledger.json, algorithms.json, report.json and checkpoint/.\n"
        "RUN stays as it is. An interrupted run (Ctrl-C) goes on with --resume and ends with the\n"
        "same bits; an ablation that is complete is not repeated.",
    .describe = print_methods,
    .example = "  excise unlearn runs/demo/train --method ce --class 1 -o runs/demo/ce\n"
               "  excise unlearn runs/demo/train --method de --class 1 --delta 0.05 \\\n"
               "      --effects runs/demo/ce/effects.csv -o runs/demo/de\n"
               "  excise unlearn -o runs/demo/de --resume\n",
    .options = options,
    .configured = true,
    .takes_subject = true,
    .shared = true,
    .run = run_unlearn,
};
