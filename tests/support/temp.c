#include "temp.h"

#include "scratch.h"
#include "test.h"

#include <stdio.h>
#include <zlib.h>

const char *ex_temp_folder(void)
{
    const char *folder = ex_scratch_folder("/tmp", "excise-test");
    assert_non_null(folder);
    return folder;
}

const char *ex_temp_path(const char *name)
{
    ex_temp_folder();
    return ex_scratch_path(name);
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

void ex_temp_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}
