/* The folder of checkpoints: which there are, and which go. */
#include "run_impl.h"

#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

ex_status ex_run_checkpoints(const char *path, long *rounds, int room, int *count)
{
    char folder_path[PATH_MAX + 16];
    *count = 0;
    snprintf(folder_path, sizeof folder_path, "%s/checkpoint", path);
    DIR *folder = opendir(folder_path);
    if (!folder)
        return errno == ENOENT || errno == ENOTDIR ? EX_OK : ex_file_read_error(folder_path);
    const struct dirent *entry;
    for (errno = 0; (entry = readdir(folder)); errno = 0) {
        const long round = round_of(entry->d_name);
        if (round >= 0)
            insert(rounds, room, count, round);
    }
    const int error = errno;
    closedir(folder);
    errno = error;
    return error ? ex_file_read_error(folder_path) : EX_OK;
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

bool ex_run_checkpoints_are_gone(const char *path)
{
    char folder_path[PATH_MAX + 16];
    snprintf(folder_path, sizeof folder_path, "%s/checkpoint", path);
    DIR *folder = opendir(folder_path);
    if (!folder)
        return false;
    bool gone = true;
    const struct dirent *entry;
    for (errno = 0; (entry = readdir(folder)); errno = 0)
        gone = gone && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                        is_left_over(entry->d_name, true));
    gone = gone && errno == 0;
    closedir(folder);
    return gone;
}

void ex_run_prune_checkpoints(const char *path, int keep)
{
    char folder_path[PATH_MAX + 16], file[PATH_MAX + 18 + NAME_MAX];
    long kept[EX_RUN_LISTED];
    int count;
    if (ex_run_checkpoints(path, kept, keep, &count) != EX_OK)
        return; /* which are the newest is not known */
    const long oldest = keep == 0 ? LONG_MAX : count < keep ? 0 : kept[keep - 1];
    snprintf(folder_path, sizeof folder_path, "%s/checkpoint", path);
    DIR *folder = opendir(folder_path);
    if (!folder)
        return;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        const long round = round_of(entry->d_name);
        if (!is_left_over(entry->d_name, keep == 0) && (round < 0 || round >= oldest))
            continue;
        snprintf(file, sizeof file, "%s/%s", folder_path, entry->d_name);
        unlink(file);
    }
    closedir(folder);
}

void ex_run_set_aside(const char *folder, long round)
{
    char path[PATH_MAX + 64], aside[PATH_MAX + 80];
    snprintf(path, sizeof path, "%s/checkpoint/round-%ld.bin", folder, round);
    snprintf(aside, sizeof aside, "%s.damaged", path);
    (void)rename(path, aside);
}
