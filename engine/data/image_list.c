#include "data/image_list.h"

#include "base/memory.h"
#include "base/rng.h"
#include "data/picture.h"
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CLASSES_MAX = 65535, FIRST_ROOM = 256 };

void ex_image_list_free(ex_image_list *l)
{
    for (int i = 0; i < l->count; i++)
        ex_free(&l->entries[i].path);
    for (int i = 0; i < l->classes; i++)
        ex_free(&l->names[i]);
    ex_free(&l->entries);
    ex_free(&l->names);
}

static bool is_folder(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_visible(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

/* Calls visit for each visible name in the folder, in the order of the bytes. */
static ex_status walk(const char *folder,
                      ex_status (*visit)(ex_image_list *, const char *, const char *, int, bool),
                      ex_image_list *l, int label, bool test)
{
    struct dirent **found;
    const int count = scandir(folder, &found, is_visible, by_bytes);
    if (count < 0 && errno == ENOMEM)
        return EX_FAIL(EX_ERR_MEMORY, "data_dir %s: no memory to list it", folder);
    if (count < 0)
        return EX_FAIL(EX_ERR_INPUT, "data_dir %s: a folder is expected: %s", folder,
                       strerror(errno));
    ex_status status = EX_OK;
    for (int i = 0; i < count; i++) {
        if (status == EX_OK)
            status = visit(l, folder, found[i]->d_name, label, test);
        free(found[i]);
    }
    free(found);
    return status;
}

static ex_status add_file(ex_image_list *l, const char *folder, const char *name, int label,
                          bool test)
{
    char path[PATH_MAX];
    if (!ex_picture_named(name))
        return EX_OK;
    EX_TRY(ex_path_join(path, folder, name));
    EX_TRY(ex_grow(&l->entries, l->count, &l->room, FIRST_ROOM, sizeof *l->entries, "pictures"));
    ex_image_entry *e = &l->entries[l->count];
    *e = (ex_image_entry){.label = (uint16_t)label, .test = test};
    EX_TRY(ex_text_copy(&e->path, path, SIZE_MAX, "pictures"));
    l->count++;
    return EX_OK;
}

static int find_class(const ex_image_list *l, const char *name)
{
    for (int i = 0; i < l->classes; i++)
        if (strcmp(l->names[i], name) == 0)
            return i;
    return -1;
}

static ex_status new_class(ex_image_list *l, const char *path, const char *name)
{
    if (l->classes == CLASSES_MAX)
        return EX_FAIL(EX_ERR_INPUT, "%s is class %d; at most %d are possible", path, l->classes,
                       CLASSES_MAX);
    EX_TRY(ex_grow(&l->names, l->classes, &l->class_room, FIRST_ROOM, sizeof *l->names, "classes"));
    EX_TRY(ex_text_copy(&l->names[l->classes], name, SIZE_MAX, "classes"));
    l->classes++;
    return EX_OK;
}

/* A subfolder is a class, whatever is in it. */
static ex_status name_class(ex_image_list *l, const char *folder, const char *name, int label,
                            bool test)
{
    char path[PATH_MAX];
    (void)label, (void)test;
    EX_TRY(ex_path_join(path, folder, name));
    return is_folder(path) ? new_class(l, path, name) : EX_OK;
}

/* A subfolder is a class: training names them, the test part may only use those names. */
static ex_status add_class(ex_image_list *l, const char *folder, const char *name, int label,
                           bool test)
{
    char path[PATH_MAX];
    EX_TRY(ex_path_join(path, folder, name));
    if (!is_folder(path))
        return EX_OK;
    if (!test)
        EX_TRY(new_class(l, path, name));
    label = find_class(l, name);
    if (label < 0)
        return EX_FAIL(EX_ERR_INPUT, "%s: there are no training images of a class %s", path, name);
    const int before = l->count;
    EX_TRY(walk(path, add_file, l, label, test));
    if (l->count == before)
        return EX_FAIL(EX_ERR_INPUT, "%s holds no picture; .png, .jpg or .jpeg is expected", path);
    return EX_OK;
}

/* Of each class, share * count pictures, rounded, drawn by seed (Knuth's algorithm S), are for
 * tests; at least one is left for training. The draw is subset 2: data.c draws 0 and 1. */
static void split(ex_image_list *l, double share, uint64_t seed)
{
    for (int first = 0, last; first < l->count; first = last) {
        const uint16_t label = l->entries[first].label;
        for (last = first; last < l->count && l->entries[last].label == label; last++)
            ;
        const uint32_t count = (uint32_t)(last - first);
        uint32_t wanted = (uint32_t)lround(share * count);
        wanted = wanted == count ? count - 1 : wanted;
        ex_rng r =
            ex_rng_at((ex_rng_key){.seed = seed, .use = EX_RNG_SUBSET, .step = 2, .client = label});
        for (int i = first; i < last && wanted > 0; i++)
            if (ex_rng_below(&r, (uint32_t)(last - i)) < wanted) {
                l->entries[i].test = true;
                wanted--;
            }
    }
}

/* *parts: dir has train/ and test/, whose paths are put there. */
static ex_status find_parts(bool *parts, char train[PATH_MAX], char test[PATH_MAX], const char *dir)
{
    if (!dir)
        return EX_FAIL(EX_ERR_CONFIG,
                       "dataset folder needs data_dir: a folder with one subfolder of pictures for "
                       "each class");
    EX_TRY(ex_path_join(train, dir, "train"));
    EX_TRY(ex_path_join(test, dir, "test"));
    *parts = is_folder(train) && is_folder(test);
    return EX_OK;
}

ex_status ex_image_list_classes(ex_image_list *l, const char *dir)
{
    char train[PATH_MAX], test[PATH_MAX];
    bool parts = false;
    EX_TRY(find_parts(&parts, train, test, dir));
    return walk(parts ? train : dir, name_class, l, 0, false);
}

ex_status ex_image_list_read(ex_image_list *l, const ex_data_options *o)
{
    char train[PATH_MAX], test[PATH_MAX];
    bool parts = false;
    EX_TRY(find_parts(&parts, train, test, o->dir));
    EX_TRY(walk(parts ? train : o->dir, add_class, l, 0, false));
    if (parts)
        EX_TRY(walk(test, add_class, l, 0, true));
    else
        split(l, o->test_share, o->seed);
    if (l->classes < 2)
        return EX_FAIL(
            EX_ERR_INPUT,
            "%s has %d subfolders; one for each of at least 2 classes is expected, there "
            "or in train/ and test/",
            o->dir, l->classes);
    return EX_OK;
}
