#include "session.h"

#include "base/log.h"
#include "io/model_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

ex_status cli_apply_settings(ex_config *c, const cli_args *args)
{
    for (int i = 0; i < args->setting_count; i++)
        EX_TRY(ex_config_set(c, args->settings[i].assignment, args->settings[i].origin));
    return ex_config_check(c);
}

/* "FOLDER/name" into path. */
static ex_status join(char path[PATH_MAX], const char *folder, const char *name)
{
    if (snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        return EX_FAIL(EX_ERR_USAGE, "the path %.64s... is too long", folder);
    return EX_OK;
}

static ex_status find_subject(cli_session *s, const char *subject)
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
        return EX_FAIL(EX_ERR_INPUT,
                       "%s is a run that is not finished; `excise train -o %s --resume` goes on",
                       subject, subject);
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
    EX_TRY(find_subject(s, args->subject));
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
    EX_TRY(ex_model_file_read(s->model, s->f->model, s->f->params, s->f->stats, &s->f->batches));
    return cli_read_algorithms(s->f, s->algorithms, s->run);
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
