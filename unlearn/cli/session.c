#include "session.h"

#include "io/file.h"
#include "share.h"

#include <stdio.h>
#include <string.h>

static bool is_number(const char *text)
{
    text += *text == '-' || *text == '+';
    return *text && text[strspn(text, "0123456789")] == '\0';
}

/* --class: a number, a name of the data set, or "all", which is none in particular. */
static ex_status set_class(ex_config *c, const char *text)
{
    char assignment[64];
    ex_class_names names;
    if (strcmp(text, "all") == 0) {
        c->unlearn.class_label = -1;
        return EX_OK;
    }
    if (is_number(text)) {
        snprintf(assignment, sizeof assignment, "unlearn.class=%.40s", text);
        return ex_config_set(c, assignment, "--class");
    }
    EX_TRY(ex_class_names_open(&names, c->dataset, c->data_dir[0] ? c->data_dir : NULL));
    const ex_status status = ex_class_find(&c->unlearn.class_label, &names, c->dataset, text);
    ex_class_names_free(&names);
    return status;
}

ex_status cli_apply_settings(ex_config *c, const cli_args *args)
{
    for (int i = 0; i < args->setting_count; i++)
        EX_TRY(ex_config_set(c, args->settings[i].assignment, args->settings[i].origin));
    if (args->class_text)
        EX_TRY(set_class(c, args->class_text));
    return ex_config_check(c);
}

ex_run_mode cli_run_mode(const cli_args *args)
{
    return args->resume ? EX_RUN_RESUME : args->overwrite ? EX_RUN_OVERWRITE : EX_RUN_NEW;
}

/* That the folder is a run of the command that is to go on with it. */
static ex_status check_command(const char *run, const json_t *state, const char *command)
{
    const char *began = ex_run_state_command(state);
    if (!began || strcmp(began, command) != 0)
        return EX_FAIL(EX_ERR_USAGE, "%s is no run of `excise %s`; %s goes on with it", run,
                       command, ex_resume_command(began ? began : "train", run));
    return EX_OK;
}

/* kept: the configuration in the checkpoint, which nobody edits; without it, config.yaml tells what
 * the run began with. */
static ex_status configure_resumed(ex_config *c, const cli_args *args, const json_t *kept,
                                   bool unlearning)
{
    char path[PATH_MAX];
    ex_config before;
    EX_TRY(ex_path_join(path, args->output, "config.yaml"));
    ex_config_default(&before);
    EX_TRY(ex_config_read(&before, path));
    if (args->config) {
        ex_config_default(c);
        EX_TRY(ex_config_read(c, args->config));
    } else {
        *c = before;
    }
    EX_TRY(cli_apply_settings(c, args));
    return kept ? ex_config_check_kept(kept, c, unlearning)
                : ex_config_check_resume(&before, c, unlearning);
}

ex_status cli_resume_config(ex_config *c, const cli_args *args, bool unlearning)
{
    json_t *state;
    EX_TRY(ex_run_check(args->output, EX_RUN_RESUME));
    if (!ex_run_has_checkpoint(args->output))
        return configure_resumed(c, args, NULL, unlearning);
    EX_TRY(ex_run_peek(args->output, &state));
    ex_status status = check_command(args->output, state, unlearning ? "unlearn" : "train");
    if (status == EX_OK)
        status = configure_resumed(c, args, json_object_get(state, "config"), unlearning);
    json_decref(state);
    return status;
}

ex_status cli_session_init(cli_session *s, const cli_args *args)
{
    memset(s, 0, sizeof *s);
    s->algorithms = args->algorithms;
    if (args->subject)
        EX_TRY(ex_subject_find(&s->subject, args->subject));
    if (args->resume) {
        s->resumed = args->output;
        return cli_resume_config(&s->config, args, true);
    }
    EX_TRY(ex_subject_configure(&s->config, &s->subject, args->config));
    EX_TRY(cli_apply_settings(&s->config, args));
    return ex_subject_check_config(&s->subject, &s->config);
}

ex_status cli_session_open(cli_session *s)
{
    EX_TRY(ex_subject_federation(&s->f, &s->config, s->comm ? &s->comm : NULL));
    EX_TRY(ex_subject_load(&s->subject, s->f));
    const bool goes_on = s->resumed && ex_run_has_checkpoint(s->resumed);
    return ex_subject_algorithms(s->f, s->algorithms, goes_on ? s->resumed : s->subject.run);
}

void cli_session_close(cli_session *s)
{
    ex_federation_close(&s->f);
    ex_share_dismiss(&s->comm);
}
