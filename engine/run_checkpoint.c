/* Checkpoints of a run: checkpoint/round-N.bin.
 *
 * Values and state are one file, so that they cannot come from different rounds. Little endian:
 * magic "EXCKPT\0\2"; u64 counts of params, stats, velocity (0 or that of params); u64 bytes of
 * JSON; u32 crc32 of the file with this field zero, u32 0; JSON {"metrics_bytes", "state"}; float32
 * params; stats; velocity. Sizes and checksum are checked before anything else in it is believed.
 */
#include "run_impl.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "checkpoints are written as they lie in memory: little endian"
#endif

enum { KEPT = 2, LISTED = 64 };

static const char MAGIC[8] = {'E', 'X', 'C', 'K', 'P', 'T', 0, 2};

typedef struct header {
    char magic[8];
    uint64_t param_count, stat_count, velocity_count, json_bytes;
    uint32_t crc, zero;
} header;

static int newest_first(const void *a, const void *b)
{
    const long x = *(const long *)a, y = *(const long *)b;
    return (x < y) - (x > y);
}

/* The N of "round-N.bin", or -1. */
static long round_of(const char *name)
{
    if (strncmp(name, "round-", 6) != 0 || strspn(name + 6, "0123456789") == 0)
        return -1;
    char *end;
    const long round = strtol(name + 6, &end, 10);
    return strcmp(end, ".bin") == 0 ? round : -1;
}

int ex_run_checkpoints(const char *path, long *rounds, int room)
{
    char folder_path[PATH_MAX + 16];
    snprintf(folder_path, sizeof folder_path, "%s/checkpoint", path);
    DIR *folder = opendir(folder_path);
    if (!folder)
        return 0;
    long all[LISTED];
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(folder)) && count < LISTED;) {
        const long round = round_of(entry->d_name);
        if (round >= 0)
            all[count++] = round;
    }
    closedir(folder);
    qsort(all, (size_t)count, sizeof *all, newest_first);
    for (int i = 0; i < count && i < room; i++)
        rounds[i] = all[i];
    return count;
}

bool ex_run_has_checkpoint(const char *path)
{
    long round;
    return ex_run_checkpoints(path, &round, 1) > 0;
}

void ex_run_prune_checkpoints(const char *path, int keep)
{
    char folder_path[PATH_MAX + 16], file[PATH_MAX + 18 + NAME_MAX];
    long kept[LISTED];
    const int count = ex_run_checkpoints(path, kept, keep);
    const long oldest = keep == 0 ? LONG_MAX : count < keep ? 0 : kept[keep - 1];
    snprintf(folder_path, sizeof folder_path, "%s/checkpoint", path);
    DIR *folder = opendir(folder_path);
    if (!folder)
        return;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        const char *dot = strrchr(entry->d_name, '.');
        const bool left_over =
            strncmp(entry->d_name, "round-", 6) == 0 && dot &&
            (strcmp(dot, ".tmp") == 0 || (keep == 0 && strcmp(dot, ".damaged") == 0));
        const long round = round_of(entry->d_name);
        if (!left_over && (round < 0 || round >= oldest))
            continue;
        snprintf(file, sizeof file, "%s/%s", folder_path, entry->d_name);
        unlink(file);
    }
    closedir(folder);
}

/* --- writing -------------------------------------------------------------------------------- */

static size_t metrics_bytes(const ex_run *run)
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
    header h = {.param_count = v->param_count,
                .stat_count = v->stat_count,
                .velocity_count = velocity_count,
                .json_bytes = strlen(json)};
    memcpy(h.magic, MAGIC, sizeof MAGIC);
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
    char name[64], *text = NULL;
    snprintf(name, sizeof name, "checkpoint/round-%lld.bin", (long long)json_integer_value(round));
    EX_TRY(sync_metrics(run));
    json_t *json =
        json_pack("{s:I, s:O}", "metrics_bytes", (json_int_t)metrics_bytes(run), "state", state);
    EX_TRY_GOTO(ex_json_text(&text, json, JSON_COMPACT, name), done);
    EX_TRY_GOTO(ex_make_folders(ex_run_path(run, "checkpoint")), done);
    EX_TRY_GOTO(write_checkpoint(ex_run_path(run, name), values, text), done);
    ex_run_prune_checkpoints(run->path, KEPT);
done:
    json_decref(json);
    free(text);
    return status;
}

/* --- reading -------------------------------------------------------------------------------- */

static ex_status damaged(const char *path, const char *what)
{
    return EX_FAIL(EX_ERR_INPUT, "%s is damaged: %s", path, what);
}

/* The header of a file that is as long as it tells and has the checksum that it tells. */
static ex_status check_file(header *h, const char *path, const char *bytes, size_t size)
{
    if (size < sizeof *h)
        return damaged(path, "it ends within its header");
    memcpy(h, bytes, sizeof *h);
    if (memcmp(h->magic, MAGIC, sizeof MAGIC - 1) != 0)
        return damaged(path, "it does not begin as a checkpoint");
    if (h->magic[sizeof MAGIC - 1] != MAGIC[sizeof MAGIC - 1])
        return damaged(path, "it is of another version of excise");
    const size_t rest = size - sizeof *h, most = rest / sizeof(float);
    if (h->param_count > most || h->stat_count > most || h->velocity_count > most ||
        (h->param_count + h->stat_count + h->velocity_count) * sizeof(float) > rest ||
        h->json_bytes !=
            rest - (h->param_count + h->stat_count + h->velocity_count) * sizeof(float) ||
        (h->velocity_count && h->velocity_count != h->param_count))
        return damaged(path, "its size does not agree with its header");
    header blank = *h;
    blank.crc = 0;
    const uLong crc = crc32_z(0, (const Bytef *)&blank, sizeof blank);
    if (crc32_z(crc, (const Bytef *)bytes + sizeof *h, rest) != h->crc)
        return damaged(path, "its checksum does not agree");
    return EX_OK;
}

/* Where the JSON ends, the arrays begin. */
static void copy_values(const ex_run_values *v, const header *h, const char *at)
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
    header h;
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
    char path[PATH_MAX + 64], *bytes = NULL;
    size_t size;
    snprintf(path, sizeof path, "%s/checkpoint/round-%ld.bin", folder, round);
    EX_TRY(ex_file_read(&bytes, &size, path, SIZE_MAX / 2));
    const ex_status status = decode(path, bytes, size, round, v, json);
    ex_free(&bytes);
    return status;
}

/* Puts a damaged checkpoint out of the way, so that none is taken later whose metrics are cut. */
static void set_aside(const char *folder, long round)
{
    char path[PATH_MAX + 64], aside[PATH_MAX + 80];
    snprintf(path, sizeof path, "%s/checkpoint/round-%ld.bin", folder, round);
    snprintf(aside, sizeof aside, "%s.damaged", path);
    (void)rename(path, aside);
}

/* The newest that is whole. Only what is wrong with the file itself lets the one before be tried.
 * `keep`: nothing is said nor changed. */
static ex_status read_newest(const char *folder, const ex_run_values *v, json_t **json, bool keep)
{
    long rounds[LISTED];
    const int count = ex_run_checkpoints(folder, rounds, LISTED);
    *json = NULL;
    if (count == 0)
        return EX_FAIL(EX_ERR_INPUT, "%s has no checkpoint to resume from", folder);
    for (int i = 0;; i++) {
        const ex_status status = read_checkpoint(folder, rounds[i], v, json);
        for (int k = 0; k < i && status == EX_OK && !keep; k++)
            set_aside(folder, rounds[k]);
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
    const size_t now = metrics_bytes(run);
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
    ex_run_prune_checkpoints(run->path, KEPT); /* a kill may have come between write and prune */
    const json_t *length = json_object_get(json, "metrics_bytes");
    const ex_status status = cut_metrics(run, (size_t)json_integer_value(length));
    if (status == EX_OK)
        *state = json_incref(json_object_get(json, "state"));
    json_decref(json);
    return status;
}
