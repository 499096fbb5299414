/* The folder of checkpoints: which there are, and which go. */
#include "run_impl.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    long all[EX_RUN_LISTED];
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(folder)) && count < EX_RUN_LISTED;) {
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
    long kept[EX_RUN_LISTED];
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

void ex_run_set_aside(const char *folder, long round)
{
    char path[PATH_MAX + 64], aside[PATH_MAX + 80];
    snprintf(path, sizeof path, "%s/checkpoint/round-%ld.bin", folder, round);
    snprintf(aside, sizeof aside, "%s.damaged", path);
    (void)rename(path, aside);
}
