/* excise ablate: the effect of every channel on a class, as a table. */
#include "output.h"
#include "session.h"

#include "base/log.h"
#include "io/file.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN = 5 }; /* channels of highest effect in the text */

static ex_status check_class(const ex_config *c, const char *text)
{
    if (text && strcmp(text, "all") != 0 && c->unlearn.class_label < 0)
        return EX_FAIL(EX_ERR_USAGE, "--class is \"%s\"; a class from 0 on, its name, or all",
                       text);
    return EX_OK;
}

static json_t *class_json(const ex_effects *e, int i, const ex_class_names *names)
{
    return json_pack("{s:i, s:o, s:i, s:i, s:o}", "class", e->class_label[i], "class_name",
                     ex_json_word(ex_class_name(names, e->class_label[i])), "probe", e->probe[i],
                     "baseline_correct", e->baseline_correct[i], "top",
                     ex_effects_top_json(e, i, SHOWN));
}

/* A class whose channels there is no memory to rank must not be missing. */
static ex_status add_classes(json_t *classes, const ex_effects *e, const ex_class_names *names)
{
    for (int i = 0; i < e->classes; i++)
        if (json_array_append_new(classes, class_json(e, i, names)) != 0)
            return EX_FAIL(EX_ERR_MEMORY, "no memory for the report; the effects are written");
    return EX_OK;
}

static json_t *make_report(json_t *classes, const ex_effects *e, const ex_federation *f,
                           const char *output)
{
    const ex_cost cost = ex_ledger_cost(f->ledger, "ablation");
    json_t *report = cli_provenance(f);
    json_object_set_new(report, "command", json_string("ablate"));
    json_object_set_new(report, "output", json_string(output));
    json_object_set_new(report, "channels", json_integer(e->model->channel_count));
    json_object_set_new(report, "strategy",
                        json_string(ex_config_choice(&f->config, "unlearn.strategy")));
    json_object_set_new(report, "ablation_s", ex_json_number(cost.wall_s));
    json_object_set(report, "classes", classes);
    return report;
}

static void print_report(const json_t *report)
{
    const json_t *row, *channel;
    size_t i, n;
    printf("%s: the effects of %d channels, measured in %.1f s (%s)\n",
           json_string_value(json_object_get(report, "output")),
           (int)json_integer_value(json_object_get(report, "channels")),
           json_number_value(json_object_get(report, "ablation_s")),
           json_string_value(json_object_get(report, "strategy")));
    json_array_foreach(json_object_get(report, "classes"), i, row)
    {
        char class[CLI_CLASS_ROOM];
        printf("class %s: %d of %d correct; highest effects:\n", cli_class(class, row),
               (int)json_integer_value(json_object_get(row, "baseline_correct")),
               (int)json_integer_value(json_object_get(row, "probe")));
        json_array_foreach(json_object_get(row, "top"), n, channel)
            printf("  %7.4f  %s, channel %d\n", json_real_value(json_object_get(channel, "effect")),
                   json_string_value(json_object_get(channel, "layer")),
                   (int)json_integer_value(json_object_get(channel, "channel")));
    }
}

static ex_status run_ablate(const cli_args *args)
{
    cli_session s;
    ex_effects *effects = NULL;
    json_t *report = NULL, *classes = NULL;
    ex_status status;
    if (!args->output)
        return EX_FAIL(EX_ERR_USAGE, "-o EFFECTS.csv must name the table to write");
    EX_TRY(cli_check_target(args->output, args->overwrite));
    EX_TRY(cli_session_init(&s, args));
    EX_TRY(check_class(&s.config, args->class_text));
    EX_TRY_GOTO(cli_session_open(&s), done);
    EX_TRY_GOTO(ex_ablate(&effects, s.f, s.config.unlearn.class_label), done);
    EX_TRY_GOTO(ex_effects_write(effects, args->output), done);
    classes = json_array();
    EX_TRY_GOTO(add_classes(classes, effects, &s.f->data->names), done);
    report = make_report(classes, effects, s.f, args->output);
    if (args->json)
        status = cli_print_json(report);
    else
        print_report(report);
done:
    if (status == EX_ERR_INTERRUPTED)
        status = EX_FAIL(EX_ERR_INTERRUPTED, "interrupted; %s was not written, run it again",
                         args->output);
    json_decref(report);
    json_decref(classes);
    ex_effects_destroy(&effects);
    cli_session_close(&s);
    return status;
}

static const cli_option options[] = {
    {"output", 'o', "EFFECTS.csv", CLI_TEXT_OPTION(output), .help = "the table to write"},
    {"class", 0, "K|all", CLI_TEXT_OPTION(class_text),
     .help = "the class, by number or name, or all in one pass; default: unlearn.class, else all"},
    {"probe", 0, "N", CLI_KEY_OPTION("unlearn.probe")},
    {"strategy", 0, "NAME", CLI_KEY_OPTION("unlearn.strategy")},
    {"overwrite", 0, NULL, CLI_FLAG_OPTION(overwrite), .help = "replace the table that is there"},
    {0},
};

const cli_command cli_ablate = {
    .name = "ablate",
    .summary = "measure the effect of every channel on a class",
    .usage =
        "RUN [options] -o EFFECTS.csv | MODEL.safetensors -c EXP.yaml [options] -o EFFECTS.csv",
    .description = "Removes one channel at a time and counts how many samples of the class the "
                   "model still\ngets right. The table has the columns class, layer, channel, "
                   "effect, correct, probe,\nbaseline_correct and loss_delta; `excise unlearn "
                   "--effects` takes it.",
    .example = "  excise ablate runs/demo/train --class all -o effects.csv\n",
    .options = options,
    .configured = true,
    .takes_subject = true,
    .run = run_ablate,
};
