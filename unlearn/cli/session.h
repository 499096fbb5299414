/* What most subcommands begin with: the resolved configuration, and the federation with the values
 * of the run folder or model file that the command names. */
#ifndef EX_CLI_SESSION_H
#define EX_CLI_SESSION_H

#include "cli.h"
#include "federation.h"

#include <limits.h>

typedef struct cli_session {
    char run[PATH_MAX];     /* the run folder read from; "" for a bare model file */
    char model[PATH_MAX];   /* the model file; "" where a run goes on without it */
    const char *resumed;    /* the run folder that goes on, or NULL */
    const char *algorithms; /* as in cli_args */
    ex_config config;
    ex_federation *f;
} cli_session;

/* Sets s->model, and s->run if the subject is a run folder. */
ex_status cli_find_subject(cli_session *s, const char *subject);
/* Resolves args->subject and the configuration: defaults, the run's config.yaml, -c, then options
 * in their order; with --resume, that of args->output, and the subject may be missing. Loads
 * nothing yet. */
ex_status cli_session_init(cli_session *s, const cli_args *args);
/* Data, device, and the model's values if a model is named; the algorithms.json of the run read, or
 * resumed, if it has one, unless another was named. */
ex_status cli_session_open(cli_session *s);
void cli_session_close(cli_session *s);

/* -s and the options that stand for keys, over what is in *c; then the rules between fields. */
ex_status cli_apply_settings(ex_config *c, const cli_args *args);
/* The configuration of a run that goes on: that of the folder args->output, with -c and settings
 * over it where they do not change what the run computes. */
ex_status cli_resume_config(ex_config *c, const cli_args *args, bool unlearning);
/* Opens the federation and says in the log where it runs. */
ex_status cli_open_federation(ex_federation **out, const ex_config *config);
/* Reads `file`; where it is NULL, FOLDER/algorithms.json if that is there. folder "": none. */
ex_status cli_read_algorithms(ex_federation *f, const char *file, const char *folder);
/* EX_ERR_USAGE if `output` is the folder that the session reads from. */
ex_status cli_check_output(const cli_session *s, const char *output);

#endif
