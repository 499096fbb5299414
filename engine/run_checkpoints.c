/* The folder of checkpoints: which there are, and which go. */
#include "run_impl.h"

#include "io/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void ex_run_checkpoint_folder(char path[EX_RUN_PATH_MAX], const char *run)
{
    snprintf(path, EX_RUN_PATH_MAX, "%s/checkpoint", run);
}

void ex_run_checkpoint_file(char path[EX_RUN_PATH_MAX], const char *run, long round)
{
    snprintf(path, EX_RUN_PATH_MAX, "%s/checkpoint/round-%ld.bin", run, round);
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

/* Whatever an interrupted write left; with `all`, what was set aside too. */
static bool is_left_over(const char *name, bool all)
{
    const char *dot = strrchr(name, '.');
    return strncmp(name, "round-", 6) == 0 && dot &&
           (strcmp(dot, ".tmp") == 0 || (all && strcmp(dot, ".damaged") == 0));
}

/* Into its place among the newest `room`. */
static void insert(long *rounds, int room, int *count, long round)
{
    int at = *count;
    while (at > 0 && rounds[at - 1] < round)
        at--;
    if (at == room)
        return;
    *count += *count < room;
    memmove(&rounds[at + 1], &rounds[at], (size_t)(*count - at - 1) * sizeof *rounds);
    rounds[at] = round;
}

typedef struct newest {
    long *rounds;
    int room, *count;
} newest;

static void take_newest(void *context, const char *name)
{
    newest *n = context;
    const long round = round_of(name);
    if (round >= 0)
        insert(n->rounds, n->room, n->count, round);
}

ex_status ex_run_checkpoints(const char *path, long *rounds, int room, int *count)
{
    char folder[EX_RUN_PATH_MAX];
    newest n = {.rounds = rounds, .room = room, .count = count};
    *count = 0;
    ex_run_checkpoint_folder(folder, path);
    const int error = ex_run_list(folder, take_newest, &n);
    errno = error;
    return !error || error == ENOENT || error == ENOTDIR ? EX_OK : ex_file_read_error(folder);
}

ex_status ex_run_newest(const char *path, long *round)
{
    int count;
    *round = -1;
    return ex_run_checkpoints(path, round, 1, &count);
}

bool ex_run_has_checkpoint(const char *path)
{
    long round;
    return ex_run_newest(path, &round) != EX_OK || round >= 0;
}

static void note_what_stays(void *context, const char *name)
{
    bool *gone = context;
    *gone = *gone && is_left_over(name, true);
}

bool ex_run_checkpoints_are_gone(const char *path)
{
    char folder[EX_RUN_PATH_MAX];
    bool gone = true;
    ex_run_checkpoint_folder(folder, path);
    return ex_run_list(folder, note_what_stays, &gone) == 0 && gone;
}

typedef struct checking {
    const char *folder;
    char other[NAME_MAX + 1]; /* one that is no file; "" if each is */
} checking;

static void check_file(void *context, const char *name)
{
    checking *c = context;
    char file[EX_RUN_PATH_MAX];
    struct stat info;
    snprintf(file, sizeof file, "%s/%s", c->folder, name);
    if (round_of(name) >= 0 && stat(file, &info) == 0 && !S_ISREG(info.st_mode))
        snprintf(c->other, sizeof c->other, "%s", name);
}

ex_status ex_run_check_checkpoints(const char *path)
{
    char folder[EX_RUN_PATH_MAX];
    checking c = {.folder = folder};
    ex_run_checkpoint_folder(folder, path);
    const int error = ex_run_list(folder, check_file, &c);
    if (error == ENOENT)
        return EX_OK;
    errno = error;
    if (error)
        return ex_file_read_error(folder);
    if (c.other[0])
        return EX_FAIL(EX_ERR_INPUT, "%s/%s is there and is no file; move it away", folder,
                       c.other);
    return access(folder, W_OK | X_OK) == 0
               ? EX_OK
               : EX_FAIL(EX_ERR_INPUT,
                         "%s cannot be written to: %s; change its permissions, or "
                         "name another folder for the run",
                         folder, strerror(errno));
}

typedef struct pruning {
    const char *folder;
    long oldest; /* to be kept, but for what is left over */
    bool all;
    ex_status status;
} pruning;

static void prune(void *context, const char *name)
{
    pruning *p = context;
    char file[EX_RUN_PATH_MAX];
    const long round = round_of(name);
    if (!is_left_over(name, p->all) && (round < 0 || round >= p->oldest))
        return;
    snprintf(file, sizeof file, "%s/%s", p->folder, name);
    if (unlink(file) != 0 && errno != ENOENT && round >= 0)
        p->status = EX_FAIL(EX_ERR_IO, "%s cannot be removed: %s", file, strerror(errno));
}

ex_status ex_run_prune_checkpoints(const char *path, int keep)
{
    char folder[EX_RUN_PATH_MAX];
    long kept[EX_RUN_LISTED];
    int count;
    EX_TRY(ex_run_checkpoints(path, kept, keep, &count));
    ex_run_checkpoint_folder(folder, path);
    pruning p = {.folder = folder,
                 .oldest = keep == 0      ? LONG_MAX
                           : count < keep ? 0
                                          : kept[keep - 1],
                 .all = keep == 0};
    (void)ex_run_list(folder, prune, &p); /* it was read just now */
    return p.status;
}

void ex_run_set_aside(const char *folder, long round)
{
    char path[EX_RUN_PATH_MAX], aside[EX_RUN_PATH_MAX + 16];
    ex_run_checkpoint_file(path, folder, round);
    snprintf(aside, sizeof aside, "%s.damaged", path);
    (void)rename(path, aside);
}
