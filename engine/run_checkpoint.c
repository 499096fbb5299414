/* Checkpoints of a run: checkpoint/round-N.bin.
 *
 * Values and state are one file, so that they cannot come from different rounds. Little endian:
 * magic "EXCKPT\0\1"; u64 param count, u64 stat count, u64 bytes of JSON; u32 crc32 of all that
 * follows, u32 0; JSON {"metrics_bytes", "state"}; float32 params; float32 stats. */
#include "run_impl.h"

#include "base/log.h"
#include "base/memory.h"
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

static const char MAGIC[8] = {'E', 'X', 'C', 'K', 'P', 'T', 0, 1};

typedef struct header {
    char magic[8];
    uint64_t param_count, stat_count, json_bytes;
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

void ex_run_prune_checkpoints(const char *path, int keep)
{
    char folder_path[PATH_MAX + 16], file[PATH_MAX + 16 + NAME_MAX];
    long kept[LISTED];
    const int count = ex_run_checkpoints(path, kept, keep);
    const long oldest = keep == 0 ? LONG_MAX : count < keep ? 0 : kept[keep - 1];
    snprintf(folder_path, sizeof folder_path, "%s/checkpoint", path);
    DIR *folder = opendir(folder_path);
    if (!folder)
        return;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        const size_t length = strlen(entry->d_name);
        const bool left_over = strncmp(entry->d_name, "round-", 6) == 0 && length > 4 &&
                               strcmp(entry->d_name + length - 4, ".tmp") == 0;
        const long round = round_of(entry->d_name);
        if (!left_over && (round < 0 || round >= oldest))
            continue;
        snprintf(file, sizeof file, "%s/%s", folder_path, entry->d_name);
        unlink(file);
    }
    closedir(folder);
}

static uint32_t crc_of(const char *json, size_t json_bytes, const float *params, size_t param_count,
                       const float *stats, size_t stat_count)
{
    uLong crc = crc32_z(0, (const Bytef *)json, json_bytes);
    crc = crc32_z(crc, (const Bytef *)params, param_count * sizeof *params);
    return (uint32_t)crc32_z(crc, (const Bytef *)stats, stat_count * sizeof *stats);
}

static size_t metrics_bytes(const ex_run *run)
{
    struct stat info;
    return stat(ex_run_path(run, "metrics.jsonl"), &info) == 0 ? (size_t)info.st_size : 0;
}

static ex_status write_all(const char *path, const header *h, const char *json, const float *params,
                           const float *stats)
{
    ex_status status;
    ex_file *file;
    EX_TRY(ex_file_create(&file, path));
    EX_TRY_GOTO(ex_file_append(file, h, sizeof *h), done);
    EX_TRY_GOTO(ex_file_append(file, json, h->json_bytes), done);
    EX_TRY_GOTO(ex_file_append(file, params, h->param_count * sizeof *params), done);
    EX_TRY_GOTO(ex_file_append(file, stats, h->stat_count * sizeof *stats), done);
    status = ex_file_commit(&file);
done:
    ex_file_discard(&file);
    return status;
}

ex_status ex_run_checkpoint(ex_run *run, const float *params, size_t param_count,
                            const float *stats, size_t stat_count, const json_t *state)
{
    const json_t *round = json_object_get(state, "round");
    EX_CHECK_ARG(json_is_integer(round), "a checkpoint's state needs its round");
    json_t *json =
        json_pack("{s:I, s:O}", "metrics_bytes", (json_int_t)metrics_bytes(run), "state", state);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (!text)
        return EX_FAIL(EX_ERR_INTERNAL, "the state of a checkpoint is no JSON");

    header h = {.param_count = param_count, .stat_count = stat_count, .json_bytes = strlen(text)};
    memcpy(h.magic, MAGIC, sizeof MAGIC);
    h.crc = crc_of(text, h.json_bytes, params, param_count, stats, stat_count);
    char name[64];
    snprintf(name, sizeof name, "checkpoint/round-%lld.bin", (long long)json_integer_value(round));
    ex_status status = ex_make_folders(ex_run_path(run, "checkpoint"));
    if (status == EX_OK)
        status = write_all(ex_run_path(run, name), &h, text, params, stats);
    free(text);
    if (status == EX_OK)
        ex_run_prune_checkpoints(run->path, KEPT);
    return status;
}

static ex_status damaged(const char *path, const char *what)
{
    return EX_FAIL(EX_ERR_INPUT, "%s is damaged: %s", path, what);
}

/* Checks sizes and crc; *json is what the file holds of it, new. EX_ERR_CONFIG: another model. */
static ex_status decode(const char *path, const char *bytes, size_t size, float *params,
                        size_t param_count, float *stats, size_t stat_count, json_t **json)
{
    header h;
    if (size < sizeof h)
        return damaged(path, "it ends within its header");
    memcpy(&h, bytes, sizeof h);
    if (memcmp(h.magic, MAGIC, sizeof MAGIC) != 0)
        return damaged(path, "it does not begin as a checkpoint");
    if (h.param_count != param_count || h.stat_count != stat_count)
        return EX_FAIL(EX_ERR_CONFIG,
                       "%s holds a model of %llu parameters and %llu statistics, but the "
                       "configuration's has %zu and %zu; resume with the run's own configuration",
                       path, (unsigned long long)h.param_count, (unsigned long long)h.stat_count,
                       param_count, stat_count);
    const size_t values = (param_count + stat_count) * sizeof(float);
    if (size - sizeof h < values || h.json_bytes != size - sizeof h - values)
        return damaged(path, "its size does not agree with its header");
    const char *text = bytes + sizeof h;
    if (crc32_z(0, (const Bytef *)text, size - sizeof h) != h.crc)
        return damaged(path, "its checksum does not agree");
    *json = json_loadb(text, h.json_bytes, 0, NULL);
    if (!json_is_object(json_object_get(*json, "state"))) {
        json_decref(*json);
        *json = NULL;
        return damaged(path, "its state is no JSON object");
    }
    memcpy(params, text + h.json_bytes, param_count * sizeof *params);
    memcpy(stats, text + h.json_bytes + param_count * sizeof *params, stat_count * sizeof *stats);
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

ex_status ex_run_restore(ex_run *run, float *params, size_t param_count, float *stats,
                         size_t stat_count, json_t **state)
{
    long rounds[LISTED];
    const int count = ex_run_checkpoints(run->path, rounds, LISTED);
    ex_status status = EX_FAIL(EX_ERR_INPUT, "%s has no checkpoint to resume from", run->path);
    json_t *json = NULL;
    for (int i = 0; i < count && !json; i++) {
        char name[64], path[PATH_MAX + 64], *bytes = NULL;
        size_t size;
        snprintf(name, sizeof name, "checkpoint/round-%ld.bin", rounds[i]);
        snprintf(path, sizeof path, "%s", ex_run_path(run, name));
        status = ex_file_read(&bytes, &size, path, SIZE_MAX / 2);
        if (status == EX_OK)
            status = decode(path, bytes, size, params, param_count, stats, stat_count, &json);
        ex_free(&bytes);
        if (status == EX_ERR_CONFIG || status == EX_ERR_MEMORY)
            return status;
        if (status != EX_OK && i + 1 < count)
            ex_log_warn("%s; the one before it is taken", ex_error_message());
    }
    if (!json)
        return status;
    *state = json_incref(json_object_get(json, "state"));
    status = cut_metrics(run, (size_t)json_integer_value(json_object_get(json, "metrics_bytes")));
    json_decref(json);
    if (status != EX_OK) {
        json_decref(*state);
        *state = NULL;
    }
    return status;
}
