#include "subject.h"

#include "base/log.h"
#include "io/file.h"
#include "io/model_file.h"
#include "run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *ex_resume_command(const char *command, const char *run)
{
    static _Thread_local char text[2 * PATH_MAX];
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:=@%";
    snprintf(text, sizeof text, "`excise %s -o ", command);
    const bool quoted = run[strspn(run, plain)] != '\0';
    if (quoted)
        ex_append(text, sizeof text, "'");
    for (const char *p = run; *p; p++)
        ex_append(text, sizeof text, quoted && *p == '\'' ? "'\\''" : "%c", *p);
    ex_append(text, sizeof text, "%s --resume`", quoted ? "'" : "");
    return text;
}

static ex_status unfinished(const char *run)
{
    json_t *state = NULL;
    const char *command = NULL;
    if (ex_run_busy(run))
        return EX_FAIL(EX_ERR_INPUT,
                       "%s is a run that another excise is at work on; wait until that "
                       "ends",
                       run);
    if (ex_run_peek(run, &state) == EX_OK)
        command = ex_run_state_command(state);
    const bool unlearning = command && strcmp(command, "unlearn") == 0;
    json_decref(state);
    return EX_FAIL(EX_ERR_INPUT, "%s is a run that is not finished; %s goes on", run,
                   ex_resume_command(unlearning ? "unlearn" : "train", run));
}

ex_status ex_subject_find(ex_subject *s, const char *subject)
{
    struct stat info;
    memset(s, 0, sizeof *s);
    if (stat(subject, &info) != 0)
        return EX_FAIL(EX_ERR_INPUT, "%s: a run folder or a model file is expected: %s", subject,
                       strerror(errno));
    if (!S_ISDIR(info.st_mode)) {
        if (snprintf(s->model, sizeof s->model, "%s", subject) >= (int)sizeof s->model)
            return EX_FAIL(EX_ERR_USAGE, "the path %.64s... is too long", subject);
        return EX_OK;
    }
    snprintf(s->run, sizeof s->run, "%s", subject);
    EX_TRY(ex_path_join(s->model, subject, "model.safetensors"));
    if (access(s->model, F_OK) == 0)
        return EX_OK;
    if (ex_run_check(subject, EX_RUN_RESUME) == EX_OK)
        return unfinished(subject);
    return EX_FAIL(EX_ERR_INPUT,
                   "%s holds no model.safetensors; the folder of a finished run is "
                   "expected",
                   subject);
}

ex_status ex_subject_configure(ex_config *c, const ex_subject *s, const char *file)
{
    char path[PATH_MAX];
    ex_config_default(c);
    if (s->run[0]) {
        EX_TRY(ex_path_join(path, s->run, "config.yaml"));
        EX_TRY(ex_config_read(c, path));
    } else if (!file) {
        return EX_FAIL(EX_ERR_USAGE,
                       "%s is a bare model; a configuration (-c EXP.yaml) must say what it was "
                       "trained on",
                       s->model);
    }
    return file ? ex_config_read(c, file) : EX_OK;
}

/* Keys that say which samples there are, how they are seen, and who holds them. */
static void warn_of_data(const ex_config *trained, const ex_config *c, const char *run)
{
    static const char *const keys[] = {"dataset",
                                       "train_samples",
                                       "images.color",
                                       "images.test_share",
                                       "normalize.mean",
                                       "normalize.std",
                                       "num_clients",
                                       "partition.kind",
                                       "partition.alpha",
                                       "partition.classes_per_client",
                                       "partition.shards_per_client",
                                       "server.overlap"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char then[EX_TEXT_MAX], now[EX_TEXT_MAX];
        ex_config_text(trained, keys[i], then, sizeof then);
        ex_config_text(c, keys[i], now, sizeof now);
        if (strcmp(then, now) != 0)
            ex_log_warn("%s is %s, but %s was trained with %s: samples or clients are not those of "
                        "the training",
                        keys[i], now, run, then);
    }
}

ex_status ex_subject_check_config(const ex_subject *s, const ex_config *c)
{
    char path[PATH_MAX];
    ex_config trained;
    if (!s->run[0])
        return EX_OK;
    EX_TRY(ex_path_join(path, s->run, "config.yaml"));
    ex_config_default(&trained);
    EX_TRY(ex_config_read(&trained, path));
    if (c->seed != trained.seed)
        return EX_FAIL(
            EX_ERR_CONFIG,
            "seed is %" PRIu64 ", but %s has %" PRIu64 ", which names its training "
            "samples, clients and server samples: leave it, and set unlearn.seed=%" PRIu64
            " for other draws of unlearning; or name %s and a configuration by -c, for "
            "data that the model was not trained on",
            c->seed, s->run, trained.seed, c->seed, s->model);
    warn_of_data(&trained, c, s->run);
    return EX_OK;
}

ex_status ex_subject_federation(ex_federation **out, const ex_config *config, ex_comm **comm)
{
    EX_TRY(comm ? ex_federation_open_shared(out, config, comm) : ex_federation_open(out, config));
    const ex_federation *f = *out;
    if (ex_comm_size(f->comm) > 1)
        ex_log("%d ranks over %s", ex_comm_size(f->comm), ex_comm_name(f->comm));
    ex_log("%s: %s; %s, %d lane%s of %d thread%s", f->device->name, f->device->description,
           ex_config_choice(config, "precision"), f->lane_count, f->lane_count == 1 ? "" : "s",
           config->threads_per_lane, config->threads_per_lane == 1 ? "" : "s");
    ex_log("%s on %s: %zu parameters, %zu training and %zu test samples", config->model,
           config->dataset, f->model->param_count, f->data->train.count, f->data->test.count);
    if (f->data->test.count == 0)
        ex_log_warn("%s has no test samples, so nothing is measured on them; raise "
                    "images.test_share, or add pictures",
                    config->dataset);
    return EX_OK;
}

ex_status ex_subject_load(const ex_subject *s, ex_federation *f)
{
    return s->model[0] ? ex_model_file_read(s->model, f->model, f->params, f->stats, &f->batches)
                       : EX_OK;
}

ex_status ex_subject_algorithms(ex_federation *f, const char *file, const char *folder)
{
    char path[PATH_MAX];
    if (file)
        return ex_device_read_algorithms(f->device, file);
    if (!*folder)
        return EX_OK;
    EX_TRY(ex_path_join(path, folder, "algorithms.json"));
    return access(path, F_OK) == 0 ? ex_device_read_algorithms(f->device, path) : EX_OK;
}

ex_status ex_subject_check_output(const ex_subject *s, const char *output)
{
    char from[PATH_MAX], to[PATH_MAX];
    if (s->run[0] && realpath(s->run, from) && realpath(output, to) && strcmp(from, to) == 0)
        return EX_FAIL(EX_ERR_USAGE, "%s is the run that is read; name another folder", output);
    return EX_OK;
}
