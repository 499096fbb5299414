/* Writing a checkpoint. */
#include "run_impl.h"

#include "io/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

size_t ex_run_metrics_bytes(const ex_run *run)
{
    struct stat info;
    return stat(ex_run_path(run, "metrics.jsonl"), &info) == 0 ? (size_t)info.st_size : 0;
}

typedef struct part {
    const void *data;
    size_t bytes;
} part;

enum { PARTS = 5 };

static ex_status write_parts(const char *path, const part parts[PARTS])
{
    ex_status status;
    ex_file *file;
    EX_TRY(ex_file_create(&file, path));
    for (int i = 0; i < PARTS; i++)
        EX_TRY_GOTO(ex_file_append(file, parts[i].data, parts[i].bytes), done);
    status = ex_file_commit(&file);
done:
    ex_file_discard(&file);
    return status;
}

static ex_status write_checkpoint(const char *path, const ex_run_values *v, const char *json)
{
    const size_t velocity_count = v->velocity ? v->param_count : 0;
    ex_checkpoint_header h = {.param_count = v->param_count,
                              .stat_count = v->stat_count,
                              .velocity_count = velocity_count,
                              .json_bytes = strlen(json)};
    memcpy(h.magic, EX_CHECKPOINT_MAGIC, sizeof h.magic);
    const part parts[PARTS] = {{&h, sizeof h},
                               {json, strlen(json)},
                               {v->params, v->param_count * sizeof(float)},
                               {v->stats, v->stat_count * sizeof(float)},
                               {v->velocity, velocity_count * sizeof(float)}};
    uLong crc = 0;
    for (int i = 0; i < PARTS; i++)
        if (parts[i].bytes)
            crc = crc32_z(crc, parts[i].data, parts[i].bytes);
    h.crc = (uint32_t)crc;
    return write_parts(path, parts);
}

/* What the checkpoint counts of metrics.jsonl must be on the disk before it. */
static ex_status sync_metrics(ex_run *run)
{
    if (run->metrics && fsync(fileno(run->metrics)) != 0 && errno != EINVAL)
        return ex_file_write_error(ex_run_path(run, "metrics.jsonl"));
    return EX_OK;
}

ex_status ex_run_checkpoint(ex_run *run, const ex_run_values *values, const json_t *state)
{
    const json_t *round = json_object_get(state, "round");
    EX_CHECK_ARG(json_is_integer(round), "a checkpoint's state needs its round");
    ex_status status;
    char folder[EX_RUN_PATH_MAX], file[EX_RUN_PATH_MAX], *text = NULL;
    ex_run_checkpoint_folder(folder, run->path);
    ex_run_checkpoint_file(file, run->path, (long)json_integer_value(round));
    EX_TRY(sync_metrics(run));
    json_t *json = json_pack("{s:I, s:O}", "metrics_bytes", (json_int_t)ex_run_metrics_bytes(run),
                             "state", state);
    EX_TRY_GOTO(ex_json_text(&text, json, JSON_COMPACT, file), done);
    EX_TRY_GOTO(ex_make_folders(folder), done);
    EX_TRY_GOTO(write_checkpoint(file, values, text), done);
    (void)ex_run_prune_checkpoints(run->path, EX_RUN_KEPT);
done:
    json_decref(json);
    free(text);
    return status;
}
