/* The folder of a run, and metrics.jsonl. */
#include "run_impl.h"

#include "base/memory.h"
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* What --overwrite may remove. */
static const char *const files[] = {"config.yaml", "metrics.jsonl",   "model.safetensors",
                                    "effects.csv", "mask.json",       "ledger.json",
                                    "report.json", "algorithms.json", NULL};

/* "report.json.123.tmp": what ex_file_create leaves when its process is killed. */
static bool is_leftover(const char *name)
{
    for (int i = 0; files[i]; i++) {
        const size_t length = strlen(files[i]);
        if (strncmp(name, files[i], length) != 0 || name[length] != '.')
            continue;
        const char *number = name + length + 1;
        const size_t digits = strspn(number, "0123456789");
        if (digits && strcmp(number + digits, ".tmp") == 0)
            return true;
    }
    return false;
}

static ex_status unusable(const char *path)
{
    return EX_FAIL(ex_file_read_code(), "%s cannot be used as the output folder: %s", path,
                   strerror(errno));
}

/* Nobody's, or a killed process's. */
static bool is_nothing(const char *path, const char *name)
{
    return is_leftover(name) ||
           (strcmp(name, "checkpoint") == 0 && ex_run_checkpoints_are_gone(path));
}

int ex_run_list(const char *folder, void (*visit)(void *context, const char *name), void *context)
{
    DIR *list = opendir(folder);
    if (!list)
        return errno;
    const struct dirent *entry;
    for (errno = 0; (entry = readdir(list)); errno = 0)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            visit(context, entry->d_name);
    const int error = errno;
    closedir(list);
    return error;
}

typedef struct looking {
    const char *path;
    bool empty;
} looking;

static void look_at(void *context, const char *name)
{
    looking *l = context;
    l->empty = l->empty && is_nothing(l->path, name);
}

/* *exists, and *empty: neither files nor folders in it but leftovers. */
static ex_status look(const char *path, bool *exists, bool *empty)
{
    looking l = {.path = path, .empty = true};
    const int error = ex_run_list(path, look_at, &l);
    *exists = error != ENOENT;
    *empty = l.empty;
    errno = error;
    return error && *exists ? unusable(path) : EX_OK;
}

static bool holds(const char *path, const char *name)
{
    char file[EX_RUN_PATH_MAX];
    snprintf(file, sizeof file, "%s/%s", path, name);
    return access(file, F_OK) == 0;
}

/* Killed between its first file and its first checkpoint, a run has done nothing yet. */
static bool only_begun(const char *path)
{
    return holds(path, "config.yaml") && !holds(path, "metrics.jsonl") &&
           !holds(path, "model.safetensors") && !holds(path, "report.json");
}

/* By names that hardly anything else has: a folder with a model and a config.yaml may be anybody's.
 */
static bool is_run(const char *path, bool checkpoint)
{
    return checkpoint || holds(path, "metrics.jsonl") || holds(path, "ledger.json");
}

/* That the names of a run are free for it: found later, what --overwrite replaces would be gone. */
static ex_status check_names(const char *path)
{
    char name[EX_RUN_PATH_MAX];
    struct stat info;
    for (int i = 0; files[i]; i++) {
        snprintf(name, sizeof name, "%s/%s", path, files[i]);
        if (stat(name, &info) == 0 && S_ISDIR(info.st_mode))
            return EX_FAIL(EX_ERR_INPUT,
                           "%s is a folder, where a run has a file; move it away, or name another "
                           "folder for the run",
                           name);
    }
    ex_run_checkpoint_folder(name, path);
    if (stat(name, &info) == 0 && !S_ISDIR(info.st_mode))
        return EX_FAIL(EX_ERR_INPUT,
                       "%s is there and is no folder; move it away, or name another folder for the "
                       "run",
                       name);
    return ex_run_check_checkpoints(path);
}

ex_status ex_run_check(const char *path, ex_run_mode mode)
{
    bool exists, empty;
    long newest;
    if (*path == '\0')
        return EX_FAIL(EX_ERR_USAGE, "the output folder has an empty name");
    EX_TRY(look(path, &exists, &empty));
    EX_TRY(ex_run_newest(path, &newest));
    const bool checkpoint = newest >= 0;
    if (mode != EX_RUN_RESUME && !empty && !is_run(path, checkpoint))
        return EX_FAIL(EX_ERR_EXISTS, "%s is not empty and holds no run; name another folder%s",
                       path, only_begun(path) ? ", or add --resume if a run has begun there" : "");
    if (mode == EX_RUN_NEW && !empty)
        return EX_FAIL(EX_ERR_EXISTS,
                       "%s is not empty; name another folder, or add --overwrite "
                       "to replace the run in it%s",
                       path, checkpoint ? ", or --resume to go on with it" : "");
    if (mode == EX_RUN_RESUME && !checkpoint && !only_begun(path))
        return EX_FAIL(EX_ERR_INPUT,
                       "%s has no checkpoint to resume from; start the run without "
                       "--resume",
                       path);
    return check_names(path);
}

static void remove_leftover(void *context, const char *name)
{
    char file[EX_RUN_PATH_MAX];
    snprintf(file, sizeof file, "%s/%s", *(const char *const *)context, name);
    if (is_leftover(name))
        unlink(file);
}

/* What is not found now stays for the next time: it is in nobody's way. */
static void remove_leftovers(const char *path)
{
    (void)ex_run_list(path, remove_leftover, &path);
}

/* The checkpoints last: until they are gone it is a run, which --overwrite may replace. Where only
 * the folder cannot be synced, all is removed, but may be there again after a loss of power. */
static ex_status remove_files(const char *path)
{
    char file[EX_RUN_PATH_MAX];
    remove_leftovers(path);
    for (int i = 0; files[i]; i++) {
        snprintf(file, sizeof file, "%s/%s", path, files[i]);
        if (unlink(file) != 0 && errno != ENOENT)
            return EX_FAIL(EX_ERR_IO, "%s cannot be removed: %s", file, strerror(errno));
    }
    EX_TRY(ex_run_prune_checkpoints(path, 0));
    ex_run_checkpoint_folder(file, path);
    rmdir(file);
    return ex_folder_sync(path);
}

/* Two processes in one folder would cut each other's files. A file system that knows no locks gives
 * none. */
static ex_status lock_folder(int *lock, const char *path)
{
    *lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*lock < 0 || flock(*lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return EX_OK;
    close(*lock);
    *lock = -1;
    return EX_FAIL(EX_ERR_EXISTS,
                   "%s is in use by another excise; wait until that ends, or name another folder",
                   path);
}

bool ex_run_busy(const char *path)
{
    const int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return false;
    const bool busy = flock(folder, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(folder);
    return busy;
}

static ex_status make_writable(const char *path)
{
    if (strlen(path) >= PATH_MAX - 64)
        return EX_FAIL(EX_ERR_USAGE, "the path %.64s... is too long", path);
    if (ex_make_folders(path) != EX_OK)
        return EX_FAIL(EX_ERR_INPUT, "%s; name a folder that can be made and written to",
                       ex_error_message());
    if (access(path, W_OK | X_OK) != 0)
        return EX_FAIL(EX_ERR_INPUT, "%s cannot be written to: %s; name another folder", path,
                       strerror(errno));
    return EX_OK;
}

ex_status ex_run_open(ex_run **out, const char *path, ex_run_mode mode)
{
    *out = NULL;
    bool exists, empty;
    ex_run *run = NULL;
    ex_status status;
    EX_TRY(ex_run_check(path, mode));
    EX_TRY(look(path, &exists, &empty));
    EX_TRY(ex_alloc(&run, 1, sizeof *run, "run folder"));
    run->lock = -1;
    run->made = !exists;
    EX_TRY_GOTO(make_writable(path), fail);
    snprintf(run->path, sizeof run->path, "%s", path);
    EX_TRY_GOTO(lock_folder(&run->lock, path), fail);
    EX_TRY_GOTO(ex_run_check(path, mode), fail); /* another may have come first, and ended */
    if (mode == EX_RUN_OVERWRITE)
        EX_TRY_GOTO(remove_files(path), fail);
    if (mode == EX_RUN_NEW)
        EX_TRY_GOTO(ex_run_prune_checkpoints(path, 0), fail); /* what a killed --overwrite left */
    remove_leftovers(path);
    *out = run;
    return EX_OK;
fail:
    ex_run_close(&run);
    return status;
}

void ex_run_close(ex_run **run)
{
    if (*run && (*run)->metrics)
        fclose((*run)->metrics);
    if (*run && (*run)->lock >= 0)
        close((*run)->lock);
    ex_free(run);
}

void ex_run_discard(ex_run **run)
{
    if (!*run)
        return;
    (void)remove_files((*run)->path);
    if ((*run)->made)
        rmdir((*run)->path);
    ex_run_close(run);
}

ex_status ex_run_reopen(ex_run *run)
{
    static const char *const results[] = {"report.json", "ledger.json", "model.safetensors"};
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        const char *path = ex_run_path(run, results[i]);
        if (unlink(path) != 0 && errno != ENOENT)
            return EX_FAIL(EX_ERR_IO, "%s cannot be removed: %s", path, strerror(errno));
    }
    return ex_folder_sync(run->path);
}

ex_status ex_run_failed(ex_status status)
{
    return ex_status_exit_code(status) == 2 ? EX_FAIL(EX_ERR_BACKEND, "%s", ex_error_message())
                                            : status;
}

const char *ex_run_path(const ex_run *run, const char *name)
{
    static _Thread_local char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", run->path, name);
    return path;
}

/* A file that is new is on the disk once its folder is. */
static ex_status open_metrics(ex_run *run, const char *path)
{
    if (run->metrics)
        return EX_OK;
    if (!(run->metrics = fopen(path, "ae")))
        return EX_FAIL(EX_ERR_IO, "%s cannot be opened: %s", path, strerror(errno));
    return ex_folder_sync(run->path);
}

ex_status ex_run_metrics(ex_run *run, json_t *line)
{
    const char *path = ex_run_path(run, "metrics.jsonl");
    char *text = NULL;
    ex_status status = open_metrics(run, path);
    if (status == EX_OK)
        status = ex_json_text(&text, line, JSON_COMPACT, path);
    json_decref(line);
    EX_TRY(status);
    const bool written = fprintf(run->metrics, "%s\n", text) >= 0 && fflush(run->metrics) == 0;
    free(text);
    return written ? EX_OK : ex_file_write_error(path);
}
