#include "scratch.h"

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static char folder[PATH_MAX];

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *level)
{
    (void)info, (void)type, (void)level;
    return remove(path);
}

static void remove_folder(void)
{
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *ex_scratch_folder(const char *base, const char *name)
{
    if (folder[0])
        return folder;
    const char *named = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/%s-XXXXXX", named ? named : base, name);
    if (!mkdtemp(folder)) {
        folder[0] = '\0';
        return NULL;
    }
    atexit(remove_folder);
    return folder;
}

const char *ex_scratch_path(const char *name)
{
    static char paths[16][PATH_MAX + 256];
    static unsigned next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}
