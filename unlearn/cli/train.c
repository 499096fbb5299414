/* excise train: rounds of federated training, a checkpoint after each. */
#include "dry_run.h"
#include "output.h"
#include "ranks.h"
#include "record.h"
#include "session.h"
#include "share.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "io/file.h"

#include <stdio.h>

typedef struct training {
    ex_run *run;
    ex_accuracy last; /* of the newest evaluation */
    double start;
    int first_round;
    int complete; /* rounds in the newest checkpoint; -1: none is written yet */
} training;

/* --- configuration -------------------------------------------------------------------------- */

static ex_status configure(ex_config *c, const cli_args *args)
{
    ex_config_default(c);
    if (!args->output && (args->resume || !args->dry_run))
        return EX_FAIL(EX_ERR_USAGE, "-o RUN must name the folder that the run is written to");
    if (!args->config && !args->resume)
        return EX_FAIL(EX_ERR_USAGE,
                       "-c EXP.yaml must name a configuration; bench/ has examples, an "
                       "installation's share/excise/examples too");
    if (!args->resume) {
        EX_TRY(ex_config_read(c, args->config));
        return cli_apply_settings(c, args);
    }
    return cli_resume_config(c, args, false);
}

/* --- a round -------------------------------------------------------------------------------- */

static ex_status evaluate(training *t, ex_federation *f)
{
    ex_accuracy_free(&t->last);
    EX_TRY(ex_ledger_begin(f->ledger, "evaluate"));
    const ex_status status = ex_federation_evaluate(f, &f->data->test, NULL, &t->last);
    ex_ledger_end(f->ledger);
    return status;
}

static ex_status write_metrics(training *t, int round, const ex_round_result *r)
{
    return ex_run_metrics(
        t->run, json_pack("{s:i, s:s, s:o, s:o, s:o, s:o, s:f, s:f, s:I, s:I, s:I, s:i}", "round",
                          round + 1, "phase", "train", "train_loss", ex_json_number(r->loss),
                          "train_accuracy", ex_json_number(r->accuracy), "test_loss",
                          ex_json_number(t->last.loss), "test_accuracy",
                          ex_json_number(ex_accuracy_all(&t->last)), "seconds", r->seconds,
                          "client_seconds", r->client_seconds, "bytes_up", (json_int_t)r->bytes_up,
                          "bytes_down", (json_int_t)r->bytes_down, "samples",
                          (json_int_t)r->samples, "cohort", r->cohort));
}

static ex_status checkpoint(training *t, const ex_federation *f, int complete_rounds)
{
    EX_TRY(
        ex_federation_checkpoint(f, t->run, f->velocity,
                                 json_pack("{s:i, s:s, s:o}", "round", complete_rounds, "command",
                                           "train", "ledger", ex_ledger_json(f->ledger))));
    t->complete = complete_rounds;
    return EX_OK;
}

static void log_round(const training *t, const ex_federation *f, int round,
                      const ex_round_result *r)
{
    const int done = round + 1 - t->first_round, left = f->config.rounds - round - 1;
    const int seconds = (int)((ex_now() - t->start) / done * left + 0.5);
    char loss[CLI_NUMBER_ROOM], accuracy[CLI_NUMBER_ROOM], test[CLI_NUMBER_ROOM];
    ex_log("round %d/%d: train loss %s, accuracy %s; test accuracy %s; %.1f s, %.0f img/s; "
           "%d:%02d left",
           round + 1, f->config.rounds, cli_measured(loss, r->loss, r->samples),
           cli_measured(accuracy, r->accuracy, r->samples),
           cli_measured(test, ex_accuracy_all(&t->last), t->last.count), r->seconds,
           r->seconds > 0 ? (double)r->samples / r->seconds : 0.0, seconds / 60, seconds % 60);
}

static ex_status after_round(void *context, ex_federation *f, int round,
                             const ex_round_result *result)
{
    training *t = context;
    EX_TRY(evaluate(t, f));
    log_round(t, f, round, result);
    EX_TRY(write_metrics(t, round, result));
    return checkpoint(t, f, round + 1);
}

/* --- start and end -------------------------------------------------------------------------- */

static ex_status check_rounds(const json_t *state, const ex_federation *f, const char *run)
{
    const int complete = ex_run_state_round(state);
    if (complete > f->config.rounds)
        return EX_FAIL(EX_ERR_CONFIG,
                       "rounds is %d, but %d are complete in %s; a run can only be made longer",
                       f->config.rounds, complete, run);
    return EX_OK;
}

static ex_status restore(training *t, ex_federation *f, const char *run)
{
    const ex_run_values values = ex_federation_values(f, f->velocity);
    json_t *state;
    EX_TRY(ex_run_peek(run, &state)); /* a refusal leaves everything as it was */
    ex_status status = check_rounds(state, f, run);
    json_decref(state);
    EX_TRY(status);
    EX_TRY(ex_run_restore(t->run, &values, &state));
    t->complete = t->first_round = ex_run_state_round(state);
    status = ex_ledger_restore(f->ledger, json_object_get(state, "ledger"));
    json_decref(state);
    EX_TRY(status);
    ex_log("going on after round %d%s", t->first_round,
           t->first_round == f->config.rounds ? ", the last" : "");
    return t->first_round < f->config.rounds ? ex_run_reopen(t->run) : EX_OK;
}

/* A run that is interrupted in its first round can be resumed too: it starts with a checkpoint. */
static ex_status start(training *t, ex_federation *f, const cli_args *args)
{
    if (args->resume && ex_run_has_checkpoint(args->output)) {
        EX_TRY(restore(t, f, args->output));
        return ex_config_write(&f->config, ex_run_path(t->run, "config.yaml"));
    }
    EX_TRY(ex_config_write(&f->config, ex_run_path(t->run, "config.yaml")));
    return checkpoint(t, f, 0);
}

static ex_status train_rounds(training *t, ex_federation *f)
{
    EX_TRY(ex_ledger_begin(f->ledger, "train"));
    t->start = ex_now();
    const ex_status status = ex_federation_train(f, f->clients, t->first_round, after_round, t);
    ex_ledger_end(f->ledger);
    return status;
}

static json_t *make_report(const training *t, const ex_federation *f)
{
    const ex_cost cost = ex_ledger_cost(f->ledger, "train");
    json_t *report = cli_provenance(f);
    json_object_set_new(report, "command", json_string("train"));
    json_object_set_new(report, "rounds", json_integer(f->config.rounds));
    json_object_set_new(report, "test", cli_accuracy(&t->last, -1));
    json_object_set_new(report, "cost", cli_cost(&cost));
    return report;
}

static void print_report(const training *t, const ex_federation *f, const char *output)
{
    const ex_cost cost = ex_ledger_cost(f->ledger, "train");
    char up[EX_BYTES_ROOM], down[EX_BYTES_ROOM];
    char accuracy[CLI_NUMBER_ROOM], loss[CLI_NUMBER_ROOM];
    printf("run            %s\n"
           "rounds         %d\n"
           "test accuracy  %s\n"
           "test loss      %s\n"
           "compute        %.1f s\n"
           "sent           %s up, %s down\n",
           output, f->config.rounds,
           cli_measured(accuracy, ex_accuracy_all(&t->last), t->last.count),
           cli_measured(loss, t->last.loss, t->last.count), cost.compute_s,
           ex_bytes_text(up, (double)cost.bytes_up), ex_bytes_text(down, (double)cost.bytes_down));
}

static ex_status finish(training *t, ex_federation *f, const cli_args *args)
{
    if (!t->last.class_count) /* resumed after the last round */
        EX_TRY(evaluate(t, f));
    json_t *report = make_report(t, f);
    ex_status status = ex_federation_results(f, t->run, report);
    if (status == EX_OK && args->json)
        status = cli_print_json(report);
    else if (status == EX_OK)
        print_report(t, f, args->output);
    json_decref(report);
    return status;
}

static ex_status run_train(const cli_args *args)
{
    const ex_run_mode mode = cli_run_mode(args);
    ex_config config;
    ex_comm *comm;
    ex_federation *f = NULL;
    training t = {.complete = -1};
    ex_status status;
    EX_TRY(configure(&config, args));
    if (args->dry_run)
        return cli_dry_run(&config, args);
    EX_TRY(cli_join(&comm, &config, args->output));
    if (ex_comm_rank(comm) > 0)
        return cli_serve(&comm);
    EX_TRY_GOTO(ex_run_check(args->output, mode), done);
    EX_TRY_GOTO(ex_subject_federation(&f, &config, &comm), done);
    EX_TRY_GOTO(ex_subject_algorithms(f, args->algorithms, args->resume ? args->output : ""), done);
    EX_TRY_GOTO(ex_run_open(&t.run, args->output, mode), done);
    EX_TRY_GOTO(start(&t, f, args), stopped);
    EX_TRY_GOTO(ex_run_failed(train_rounds(&t, f)), stopped);
    EX_TRY_GOTO(ex_run_failed(finish(&t, f, args)), stopped);
stopped:
    if (t.complete >= 0)
        status = cli_stopped(status, ex_resume_command("train", args->output), "round", t.complete);
done:
    ex_run_close(&t.run);
    ex_accuracy_free(&t.last);
    ex_federation_close(&f);
    ex_share_dismiss(&comm);
    return status;
}

static const cli_option options[] = {
    {"output", 'o', "RUN", CLI_TEXT_OPTION(output), .help = "folder of the run; made if missing"},
    {"resume", 0, NULL, CLI_FLAG_OPTION(resume),
     .help = "go on from the last checkpoint in RUN; -c may be left out"},
    {"overwrite", 0, NULL, CLI_FLAG_OPTION(overwrite), .help = "replace the run that RUN holds"},
    {"dry-run", 0, NULL, CLI_FLAG_OPTION(dry_run),
     .help =
         "train a step or two and say what memory and traffic the run would take; writes no run"},
    {0},
};

const cli_command cli_train = {
    .name = "train",
    .summary = "train a model by federated averaging",
    .usage = "-c EXP.yaml [-s KEY=VALUE]... -o RUN [--resume]",
    .description =
        "Splits the training samples over clients, trains round by round, and writes RUN:\n"
        "config.yaml, metrics.jsonl (a line a round), checkpoint/, and at the end\n"
        "model.safetensors, ledger.json, algorithms.json and report.json. Options win over the\n"
        "configuration file, later ones over earlier ones. An interrupted run (Ctrl-C) goes on\n"
        "with --resume and ends with the same bits as one that was not interrupted.\n"
        "Started several times by mpirun, srun or torchrun, the processes share the clients, and\n"
        "the first of them writes RUN.",
    .example = "  excise train -c bench/demo_fashion_mnist.yaml -s rounds=3 -o runs/demo/train\n"
               "  excise train -o runs/demo/train --resume\n",
    .options = options,
    .configured = true,
    .lists_keys = true,
    .shared = true,
    .run = run_train,
};
