#include "temp.h"

#include "test.h"

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <zlib.h>

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

const char *ex_temp_folder(void)
{
    if (!folder[0]) {
        const char *base = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%s/excise-test-XXXXXX", base ? base : "/tmp");
        assert_non_null(mkdtemp(folder));
        atexit(remove_folder);
    }
    return folder;
}

const char *ex_temp_path(const char *name)
{
    static char paths[16][PATH_MAX + 256];
    static unsigned next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", ex_temp_folder(), name);
    return path;
}

const char *ex_temp_write(const char *name, const void *data, size_t bytes, int gzip)
{
    const char *path = ex_temp_path(name);
    /* Mode T writes without compression or header. */
    gzFile file = gzopen(path, gzip ? "wb" : "wbT");
    assert_non_null(file);
    if (bytes)
        assert_int_equal(gzwrite(file, data, (unsigned)bytes), bytes);
    assert_int_equal(gzclose(file), Z_OK);
    return path;
}
