/* What most subcommands begin with: the resolved configuration, and the federation with the values
 * of the run folder or model file that the command names. */
#ifndef EX_CLI_SESSION_H
#define EX_CLI_SESSION_H

#include "cli.h"
#include "subject.h"

typedef struct cli_session {
    ex_subject subject;     /* what is read */
    const char *resumed;    /* the run folder that goes on, or NULL */
    const char *algorithms; /* as in cli_args */
    ex_config config;
    ex_comm *comm; /* to be taken by cli_session_open; NULL: this process alone */
    ex_federation *f;
} cli_session;

/* Resolves args->subject and the configuration: defaults, the run's config.yaml, -c, then options
 * in their order; with --resume, that of args->output, and the subject may be missing. Loads
 * nothing yet. */
ex_status cli_session_init(cli_session *s, const cli_args *args);
/* Data, device, and the model's values if a model is named; the algorithms.json of the run read, or
 * resumed, if it has one, unless another was named. */
ex_status cli_session_open(cli_session *s);
void cli_session_close(cli_session *s);

/* -s and the options that stand for keys, over what is in *c, with --class as a number or as one of
 * the names of the data set's classes; then the rules between fields. */
ex_status cli_apply_settings(ex_config *c, const cli_args *args);
/* How args->output is to be opened. */
ex_run_mode cli_run_mode(const cli_args *args);
/* The configuration of a run that goes on: that of the folder args->output, with -c and settings
 * over it where they do not change what the run computes. */
ex_status cli_resume_config(ex_config *c, const cli_args *args, bool unlearning);

#endif
