/* Reading checkpoints back: the newest that is whole. */
#include "run_impl.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "io/file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static ex_status damaged(const char *path, const char *what)
{
    return EX_FAIL(EX_ERR_INPUT, "%s is damaged: %s", path, what);
}

/* The header of a file that is as long as it tells and has the checksum that it tells. */
static ex_status check_file(ex_checkpoint_header *h, const char *path, const char *bytes,
                            size_t size)
{
    if (size < sizeof *h)
        return damaged(path, "it ends within its header");
    memcpy(h, bytes, sizeof *h);
    const size_t name = sizeof h->magic - 1;
    if (memcmp(h->magic, EX_CHECKPOINT_MAGIC, name) != 0)
        return damaged(path, "it does not begin as a checkpoint");
    if (h->magic[name] != EX_CHECKPOINT_MAGIC[name])
        return damaged(path, "it is of another version of excise");
    const size_t rest = size - sizeof *h, most = rest / sizeof(float);
    if (h->param_count > most || h->stat_count > most || h->velocity_count > most ||
        (h->param_count + h->stat_count + h->velocity_count) * sizeof(float) > rest ||
        h->json_bytes !=
            rest - (h->param_count + h->stat_count + h->velocity_count) * sizeof(float) ||
        (h->velocity_count && h->velocity_count != h->param_count))
        return damaged(path, "its size does not agree with its header");
    ex_checkpoint_header blank = *h;
    blank.crc = 0;
    const uLong crc = crc32_z(0, (const Bytef *)&blank, sizeof blank);
    if (crc32_z(crc, (const Bytef *)bytes + sizeof *h, rest) != h->crc)
        return damaged(path, "its checksum does not agree");
    return EX_OK;
}

/* Where the JSON ends, the arrays begin. */
static void copy_values(const ex_run_values *v, const ex_checkpoint_header *h, const char *at)
{
    memcpy(v->params, at, v->param_count * sizeof(float));
    at += v->param_count * sizeof(float);
    memcpy(v->stats, at, v->stat_count * sizeof(float));
    at += v->stat_count * sizeof(float);
    if (v->velocity && h->velocity_count)
        memcpy(v->velocity, at, v->param_count * sizeof(float));
    else if (v->velocity)
        memset(v->velocity, 0, v->param_count * sizeof(float));
}

/* The state is of the round that the file is named for: whoever reads it counts on from there. */
static bool is_of_round(const json_t *json, long round)
{
    const json_t *told = json_object_get(json_object_get(json, "state"), "round");
    const json_t *metrics = json_object_get(json, "metrics_bytes");
    return round <= EX_RNG_ROUNDS && json_is_integer(told) && json_integer_value(told) == round &&
           json_is_integer(metrics) && json_integer_value(metrics) >= 0;
}

/* *json is what the file holds of it, new. v NULL: only that. EX_ERR_CONFIG: another model. */
static ex_status decode(const char *path, const char *bytes, size_t size, long round,
                        const ex_run_values *v, json_t **json)
{
    ex_checkpoint_header h;
    json_error_t error;
    EX_TRY(check_file(&h, path, bytes, size));
    if (v && (h.param_count != v->param_count || h.stat_count != v->stat_count))
        return EX_FAIL(EX_ERR_CONFIG,
                       "%s holds a model of %llu parameters and %llu statistics, but the "
                       "configuration's has %zu and %zu; resume with the run's own configuration",
                       path, (unsigned long long)h.param_count, (unsigned long long)h.stat_count,
                       v->param_count, v->stat_count);
    EX_TRY(ex_json_load(json, bytes + sizeof h, h.json_bytes, 0, &error));
    if (!is_of_round(*json, round)) {
        json_decref(*json);
        *json = NULL;
        return damaged(path, "its state is not that of its round");
    }
    if (v)
        copy_values(v, &h, bytes + sizeof h + h.json_bytes);
    return EX_OK;
}

static ex_status read_checkpoint(const char *folder, long round, const ex_run_values *v,
                                 json_t **json)
{
    char path[EX_RUN_PATH_MAX], *bytes = NULL;
    size_t size;
    ex_run_checkpoint_file(path, folder, round);
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return damaged(path, "it is no file"); /* and may have no end */
    EX_TRY(ex_file_read(&bytes, &size, path, SIZE_MAX / 2));
    const ex_status status = decode(path, bytes, size, round, v, json);
    ex_free(&bytes);
    return status;
}

/* The newest that is whole. Only what is wrong with the file itself lets the one before be tried.
 * `keep`: nothing is said nor changed. */
static ex_status read_newest(const char *folder, const ex_run_values *v, json_t **json, bool keep)
{
    long rounds[EX_RUN_LISTED];
    int count;
    *json = NULL;
    EX_TRY(ex_run_checkpoints(folder, rounds, EX_RUN_LISTED, &count));
    if (count == 0)
        return EX_FAIL(EX_ERR_INPUT, "%s has no checkpoint to resume from", folder);
    for (int i = 0;; i++) {
        const ex_status status = read_checkpoint(folder, rounds[i], v, json);
        for (int k = 0; k < i && status == EX_OK && !keep; k++)
            ex_run_set_aside(folder, rounds[k]);
        if (status != EX_ERR_INPUT)
            return status;
        if (i + 1 == count)
            return EX_FAIL(EX_ERR_INPUT,
                           "%s; %s has no other checkpoint: start the run anew, with --overwrite",
                           ex_error_message(), folder);
        if (!keep)
            ex_log_warn("%s; the one before it is taken", ex_error_message());
    }
}

int ex_run_state_round(const json_t *state)
{
    return (int)json_integer_value(json_object_get(state, "round")); /* is_of_round */
}

const char *ex_run_state_command(const json_t *state)
{
    return json_string_value(json_object_get(state, "command"));
}

ex_status ex_run_peek(const char *path, json_t **state)
{
    json_t *json;
    *state = NULL;
    EX_TRY(read_newest(path, NULL, &json, true));
    *state = json_incref(json_object_get(json, "state"));
    json_decref(json);
    return EX_OK;
}

static ex_status cut_metrics(ex_run *run, size_t length)
{
    const char *path = ex_run_path(run, "metrics.jsonl");
    const size_t now = ex_run_metrics_bytes(run);
    if (now < length)
        ex_log_warn("%s is shorter than at the checkpoint; its lines are kept as they are", path);
    if (run->metrics) {
        fclose(run->metrics);
        run->metrics = NULL;
    }
    if (now > length && truncate(path, (off_t)length) != 0)
        return EX_FAIL(EX_ERR_IO, "%s cannot be cut: %s", path, strerror(errno));
    return EX_OK;
}

ex_status ex_run_restore(ex_run *run, const ex_run_values *values, json_t **state)
{
    json_t *json;
    *state = NULL;
    EX_TRY(read_newest(run->path, values, &json, false));
    /* A kill may have come between write and prune. */
    (void)ex_run_prune_checkpoints(run->path, EX_RUN_KEPT);
    const json_t *length = json_object_get(json, "metrics_bytes");
    const ex_status status = cut_metrics(run, (size_t)json_integer_value(length));
    if (status == EX_OK)
        *state = json_incref(json_object_get(json, "state"));
    json_decref(json);
    return status;
}
