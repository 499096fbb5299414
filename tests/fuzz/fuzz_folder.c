/* A folder of pictures by class: the names in it and what lies under them. Input: a byte (bits 0 to
 * 6: the share for tests, of 128; bit 7: grey), then entries: a byte that says what lies there, and
 * its path, up to a byte 0. What is taken has been laid there, and all reads of it agree. */
#include "fuzz.h"

#include "data/images.h"
#include "data/picture.h"
#include "io/file.h"

#include <dirent.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 24, PATH_BYTES_MAX = 80, FOLDERS_DEEP = 4, SIDE = 2, STEP = 40 /* of grey */ };

/* What lies at a path, by its byte % KINDS: pictures of one colour, and what is none. */
enum { COLOURS = 4, WIDE = COLOURS, GARBAGE, FOLDER, KINDS };

/* --- laying it out ---------------------------------------------------------------------------- */

/* Whether `path` stays in the folder: parts that are not empty, ".", or "..". */
static bool is_inside(const char *path)
{
    int parts = 0;
    for (const char *p = path;; p++) {
        const size_t length = strcspn(p, "/");
        if (length == 0 || (length < 3 && strspn(p, ".") >= length) || ++parts > FOLDERS_DEEP)
            return false;
        p += length;
        if (!*p)
            return true;
    }
}

static void lay_picture(const char *name, int kind)
{
    uint8_t pixels[3 * SIDE * (SIDE + 1)];
    memset(pixels, kind * STEP, sizeof pixels);
    fuzz_write_png(name, pixels, SIDE, kind == WIDE ? SIDE + 1 : SIDE);
}

/* Nothing is laid where something is in the way. */
static void lay(const char *path, uint8_t what)
{
    char name[PATH_BYTES_MAX + 16];
    struct stat info;
    snprintf(name, sizeof name, "data/%s", path);
    const int kind = what % KINDS;
    if (kind == FOLDER) {
        (void)ex_make_folders(fuzz_path(name));
        return;
    }
    char *slash = strrchr(name, '/');
    *slash = '\0';
    const bool placed = ex_make_folders(fuzz_path(name)) == EX_OK;
    *slash = '/';
    if (!placed || stat(fuzz_path(name), &info) == 0)
        return;
    if (kind == GARBAGE)
        fuzz_write(name, &what, 1);
    else
        lay_picture(name, kind);
}

static void lay_all(const uint8_t *data, size_t size)
{
    FUZZ_OK(ex_make_folders(fuzz_path("data")));
    const uint8_t *end = data + size;
    for (int i = 0; i < ENTRIES_MAX && data < end; i++) {
        char path[PATH_BYTES_MAX];
        const uint8_t what = *data++, *zero = memchr(data, 0, (size_t)(end - data));
        const size_t length = (size_t)((zero ? zero : end) - data);
        if (length < sizeof path) {
            memcpy(path, data, length);
            path[length] = '\0';
            if (is_inside(path))
                lay(path, what);
        }
        data += length + 1;
    }
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *level)
{
    (void)info, (void)type, (void)level;
    return remove(path);
}

/* --- what was read ---------------------------------------------------------------------------- */

static void check_images(const ex_dataset *d)
{
    const size_t bytes = (size_t)d->channels * (size_t)d->height * (size_t)d->width;
    FUZZ_CHECK(d->count <= ENTRIES_MAX, "%zu pictures", d->count);
    for (size_t i = 0; i < d->count; i++) {
        const uint8_t *image = d->images + i * bytes;
        FUZZ_CHECK(d->labels[i] < d->classes, "picture %zu is of class %d", i, d->labels[i]);
        FUZZ_CHECK(i == 0 || d->labels[i] >= d->labels[i - 1], "picture %zu", i);
        FUZZ_CHECK(image[0] % STEP == 0 && image[0] <= WIDE * STEP, "picture %zu: %d", i, image[0]);
        for (size_t p = 1; p < bytes; p++)
            FUZZ_CHECK(image[p] == image[0], "picture %zu, value %zu", i, p);
    }
}

static void check_classes(const ex_data *data, const char *folder)
{
    ex_class_names names;
    FUZZ_OK(ex_images_classes(&names, folder));
    FUZZ_CHECK(names.count == data->train.classes, "%d names of %d classes", names.count,
               data->train.classes);
    for (int k = 0; k < names.count; k++) {
        size_t i = 0;
        for (; i < data->train.count && data->train.labels[i] != k; i++)
            ;
        FUZZ_CHECK(i < data->train.count, "class %d has no training picture", k);
    }
    ex_class_names_free(&names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    fuzz_silence_log();
    lay_all(data + 1, size - 1);
    const char *folder = fuzz_path("data");
    const ex_data_options options = {
        .dir = folder, .grey = data[0] >> 7, .test_share = (data[0] & 127) / 128.0, .seed = 1};
    ex_data d = {0};
    fuzz_memory_begin((size_t)1 << 22);
    const ex_status status = ex_images_open(&d, &options);
    fuzz_memory_end();
    fuzz_check_status(status, status == EX_ERR_UNSUPPORTED ? status : EX_ERR_INPUT);
    if (status == EX_OK) {
        FUZZ_CHECK(d.train.channels == (options.grey ? 1 : 3), "%d channels", d.train.channels);
        check_images(&d.train);
        check_images(&d.test);
        check_classes(&d, folder);
    }
    ex_dataset_close(&d.train);
    ex_dataset_close(&d.test);
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
