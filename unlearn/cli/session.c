#include "session.h"

#include "output.h"

#include "base/log.h"
#include "io/model_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "FOLDER/name" into path. */
static ex_status join(char path[PATH_MAX], const char *folder, const char *name)
{
    if (snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        return EX_FAIL(EX_ERR_USAGE, "the path %.64s... is too long", folder);
    return EX_OK;
}

ex_status cli_apply_settings(ex_config *c, const cli_args *args)
{
    for (int i = 0; i < args->setting_count; i++)
        EX_TRY(ex_config_set(c, args->settings[i].assignment, args->settings[i].origin));
    return ex_config_check(c);
}

/* That the folder is a run of the command that is to go on with it. */
static ex_status check_command(const char *run, const char *command)
{
    json_t *state;
    if (!ex_run_has_checkpoint(run))
        return EX_OK;
    EX_TRY(ex_run_peek(run, &state));
    const char *began = json_string_value(json_object_get(state, "command"));
    ex_status status = EX_OK;
    if (!began || strcmp(began, command) != 0)
        status = EX_FAIL(EX_ERR_USAGE, "%s is no run of `excise %s`; %s goes on with it", run,
                         command, cli_resume_command(began ? began : "train", run));
    json_decref(state);
    return status;
}

ex_status cli_resume_config(ex_config *c, const cli_args *args, bool unlearning)
{
    char path[PATH_MAX];
    ex_config before;
    EX_TRY(ex_run_check(args->output, EX_RUN_RESUME));
    EX_TRY(check_command(args->output, unlearning ? "unlearn" : "train"));
    EX_TRY(join(path, args->output, "config.yaml"));
    ex_config_default(&before);
    EX_TRY(ex_config_read(&before, path));
    if (args->config) {
        ex_config_default(c);
        EX_TRY(ex_config_read(c, args->config));
    } else {
        *c = before;
    }
    EX_TRY(cli_apply_settings(c, args));
    return ex_config_check_resume(&before, c, unlearning);
}

static ex_status unfinished(const char *run)
{
    json_t *state = NULL;
    const char *command = NULL;
    if (ex_run_peek(run, &state) == EX_OK)
        command = json_string_value(json_object_get(state, "command"));
    const bool unlearning = command && strcmp(command, "unlearn") == 0;
    json_decref(state);
    return EX_FAIL(EX_ERR_INPUT, "%s is a run that is not finished; %s goes on", run,
                   cli_resume_command(unlearning ? "unlearn" : "train", run));
}

ex_status cli_find_subject(cli_session *s, const char *subject)
{
    struct stat info;
    if (stat(subject, &info) != 0)
        return EX_FAIL(EX_ERR_INPUT, "%s: a run folder or a model file is expected: %s", subject,
                       strerror(errno));
    if (!S_ISDIR(info.st_mode)) {
        if (snprintf(s->model, sizeof s->model, "%s", subject) >= (int)sizeof s->model)
            return EX_FAIL(EX_ERR_USAGE, "the path %.64s... is too long", subject);
        return EX_OK;
    }
    snprintf(s->run, sizeof s->run, "%s", subject);
    EX_TRY(join(s->model, subject, "model.safetensors"));
    if (access(s->model, F_OK) == 0)
        return EX_OK;
    if (ex_run_check(subject, EX_RUN_RESUME) == EX_OK)
        return unfinished(subject);
    return EX_FAIL(EX_ERR_INPUT,
                   "%s holds no model.safetensors; the folder of a finished run is "
                   "expected",
                   subject);
}

ex_status cli_session_init(cli_session *s, const cli_args *args)
{
    memset(s, 0, sizeof *s);
    s->algorithms = args->algorithms;
    ex_config_default(&s->config);
    if (args->subject)
        EX_TRY(cli_find_subject(s, args->subject));
    if (args->resume) {
        s->resumed = args->output;
        return cli_resume_config(&s->config, args, true);
    }
    char path[PATH_MAX];
    if (s->run[0]) {
        EX_TRY(join(path, s->run, "config.yaml"));
        EX_TRY(ex_config_read(&s->config, path));
    } else if (!args->config) {
        return EX_FAIL(EX_ERR_USAGE,
                       "%s is a bare model; -c EXP.yaml must say what it was trained "
                       "on",
                       args->subject);
    }
    if (args->config)
        EX_TRY(ex_config_read(&s->config, args->config));
    return cli_apply_settings(&s->config, args);
}

ex_status cli_open_federation(ex_federation **out, const ex_config *config)
{
    EX_TRY(ex_federation_open(out, config));
    const ex_federation *f = *out;
    ex_log("%s: %s; %s, %d lane%s of %d thread%s", f->device->name, f->device->description,
           ex_config_choice(config, "precision"), f->lane_count, f->lane_count == 1 ? "" : "s",
           config->threads_per_lane, config->threads_per_lane == 1 ? "" : "s");
    ex_log("%s on %s: %zu parameters, %zu training and %zu test samples", config->model,
           config->dataset, f->model->param_count, f->data->train.count, f->data->test.count);
    return EX_OK;
}

ex_status cli_read_algorithms(ex_federation *f, const char *file, const char *folder)
{
    char path[PATH_MAX];
    if (file)
        return ex_device_read_algorithms(f->device, file);
    if (!*folder)
        return EX_OK;
    EX_TRY(join(path, folder, "algorithms.json"));
    return access(path, F_OK) == 0 ? ex_device_read_algorithms(f->device, path) : EX_OK;
}

ex_status cli_session_open(cli_session *s)
{
    EX_TRY(cli_open_federation(&s->f, &s->config));
    if (s->model[0])
        EX_TRY(
            ex_model_file_read(s->model, s->f->model, s->f->params, s->f->stats, &s->f->batches));
    const bool goes_on = s->resumed && ex_run_has_checkpoint(s->resumed);
    return cli_read_algorithms(s->f, s->algorithms, goes_on ? s->resumed : s->run);
}

void cli_session_close(cli_session *s)
{
    ex_federation_close(&s->f);
}

ex_status cli_check_output(const cli_session *s, const char *output)
{
    char from[PATH_MAX], to[PATH_MAX];
    if (s->run[0] && realpath(s->run, from) && realpath(output, to) && strcmp(from, to) == 0)
        return EX_FAIL(EX_ERR_USAGE, "-o %s is the run that is read; name another folder", output);
    return EX_OK;
}
