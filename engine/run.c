/* The folder of a run, and metrics.jsonl. */
#include "run_impl.h"

#include "base/memory.h"
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What --overwrite may remove. */
static const char *const files[] = {"config.yaml", "metrics.jsonl",   "model.safetensors",
                                    "effects.csv", "mask.json",       "ledger.json",
                                    "report.json", "algorithms.json", NULL};

/* *exists, and *empty: neither files nor folders in it. */
static ex_status look(const char *path, bool *exists, bool *empty)
{
    *exists = false;
    *empty = true;
    DIR *folder = opendir(path);
    if (!folder) {
        if (errno == ENOENT)
            return EX_OK;
        return EX_FAIL(EX_ERR_INPUT, "%s cannot be used as the output folder: %s", path,
                       strerror(errno));
    }
    *exists = true;
    for (const struct dirent *entry; (entry = readdir(folder));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            *empty = false;
    closedir(folder);
    return EX_OK;
}

ex_status ex_run_check(const char *path, ex_run_mode mode)
{
    bool exists, empty;
    if (*path == '\0')
        return EX_FAIL(EX_ERR_USAGE, "the output folder has an empty name");
    EX_TRY(look(path, &exists, &empty));
    if (mode == EX_RUN_NEW && !empty)
        return EX_FAIL(EX_ERR_EXISTS,
                       "%s is not empty; name another folder, or add --overwrite "
                       "to replace the run in it",
                       path);
    long round;
    if (mode == EX_RUN_RESUME && ex_run_checkpoints(path, &round, 1) == 0)
        return EX_FAIL(EX_ERR_INPUT,
                       "%s has no checkpoint to resume from; start the run without "
                       "--resume",
                       path);
    return EX_OK;
}

static void remove_files(const char *path)
{
    char file[PATH_MAX + 32];
    for (int i = 0; files[i]; i++) {
        snprintf(file, sizeof file, "%s/%s", path, files[i]);
        unlink(file);
    }
    ex_run_prune_checkpoints(path, 0);
    snprintf(file, sizeof file, "%s/checkpoint", path);
    rmdir(file);
}

ex_status ex_run_open(ex_run **out, const char *path, ex_run_mode mode)
{
    *out = NULL;
    bool exists, empty;
    EX_TRY(ex_run_check(path, mode));
    EX_TRY(look(path, &exists, &empty));
    if (strlen(path) >= PATH_MAX - 64)
        return EX_FAIL(EX_ERR_USAGE, "the path %.64s... is too long", path);
    if (ex_make_folders(path) != EX_OK)
        return EX_FAIL(EX_ERR_INPUT, "%s; name a folder that can be made and written to",
                       ex_error_message());
    if (access(path, W_OK | X_OK) != 0)
        return EX_FAIL(EX_ERR_INPUT, "%s cannot be written to: %s; name another folder", path,
                       strerror(errno));
    if (mode == EX_RUN_OVERWRITE)
        remove_files(path);
    ex_run *run;
    EX_TRY(ex_alloc(&run, 1, sizeof *run, "run folder"));
    snprintf(run->path, sizeof run->path, "%s", path);
    run->made = !exists;
    *out = run;
    return EX_OK;
}

void ex_run_close(ex_run **run)
{
    if (*run && (*run)->metrics)
        fclose((*run)->metrics);
    ex_free(run);
}

void ex_run_discard(ex_run **run)
{
    if (!*run)
        return;
    remove_files((*run)->path);
    if ((*run)->made)
        rmdir((*run)->path);
    ex_run_close(run);
}

const char *ex_run_path(const ex_run *run, const char *name)
{
    static _Thread_local char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", run->path, name);
    return path;
}

ex_status ex_run_metrics(ex_run *run, json_t *line)
{
    const char *path = ex_run_path(run, "metrics.jsonl");
    if (!run->metrics && !(run->metrics = fopen(path, "ae"))) {
        json_decref(line);
        return EX_FAIL(EX_ERR_IO, "%s cannot be opened: %s", path, strerror(errno));
    }
    char *text = json_dumps(line, JSON_COMPACT);
    json_decref(line);
    if (!text)
        return EX_FAIL(EX_ERR_INTERNAL, "%s: a line holds what JSON cannot", path);
    const bool written = fprintf(run->metrics, "%s\n", text) >= 0 && fflush(run->metrics) == 0;
    free(text);
    return written ? EX_OK : EX_FAIL(EX_ERR_IO, "%s cannot be written: %s", path, strerror(errno));
}
