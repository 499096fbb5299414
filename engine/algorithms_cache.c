#include "algorithms_cache.h"

#include "algorithms_file.h"
#include "base/digest.h"
#include "base/log.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* --- where ------------------------------------------------------------------------------------ */

typedef struct place {
    char folder[PATH_MAX], file[PATH_MAX];
} place;

/* Whether there is to be a cache, in *folder. */
static bool folder_of(char *folder)
{
    const char *named = getenv("EXCISE_CACHE");
    const char *caches = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char above[PATH_MAX];
    if (named && strcmp(named, "off") == 0)
        return false;
    if (named && *named)
        return ex_path_join(folder, named, "algorithms") == EX_OK;
    if (caches && *caches == '/') /* a relative one is not to be used, says its specification */
        return ex_path_join(folder, caches, "excise/algorithms") == EX_OK;
    return home && *home == '/' && ex_path_join(above, home, ".cache") == EX_OK &&
           ex_path_join(folder, above, "excise/algorithms") == EX_OK;
}

static bool place_of(place *p, const ex_device *device)
{
    static const char version[] = EXCISE_VERSION; /* whose kernels are among what is chosen */
    const char *description = device->description;
    char name[32];
    if (device->options.memory || !folder_of(p->folder))
        return false;
    const uint64_t digest = ex_digest(EX_DIGEST_START, version, sizeof version);
    snprintf(name, sizeof name, "%016" PRIx64 ".json",
             ex_digest(digest, description, strlen(description)));
    return ex_path_join(p->file, p->folder, name) == EX_OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* The file's choices, none where it is not there or damaged; a new reference, or NULL where they
 * cannot be known. */
static json_t *read_file(ex_algorithms_cache *cache, const ex_device *device, const char *path)
{
    json_t *root, *algorithms;
    if (access(path, R_OK) != 0)
        return errno == ENOENT ? json_object() : NULL;
    const ex_status status = ex_algorithms_file_read(&root, &algorithms, device, path);
    if (status == EX_OK && algorithms) {
        json_incref(algorithms);
        json_decref(root);
        return algorithms;
    }
    if (status == EX_OK)
        json_decref(root);
    else if (status == EX_ERR_INPUT)
        ex_log_warn("what earlier runs chose is timed again, and their file replaced: %s",
                    ex_error_message());
    cache->damaged = status == EX_OK || status == EX_ERR_INPUT;
    return cache->damaged ? json_object() : NULL;
}

const char *ex_algorithms_cache_find(ex_algorithms_cache *cache, const ex_device *device,
                                     const char *key)
{
    if (!cache->known) {
        const ex_error e = ex_error_keep();
        place p;
        cache->known = place_of(&p, device) ? read_file(cache, device, p.file) : NULL;
        cache->known = cache->known ? cache->known : json_object();
        ex_error_restore(&e);
    }
    return json_string_value(json_object_get(cache->known, key));
}

/* --- writing ---------------------------------------------------------------------------------- */

void ex_algorithms_cache_add(ex_algorithms_cache *cache, const ex_device *device, const char *key,
                             const char *text)
{
    const char *found = ex_algorithms_cache_find(cache, device, key);
    if (found && strcmp(found, text) == 0)
        return;
    if (!cache->made)
        cache->made = json_object();
    (void)json_object_set_new(cache->made, key, json_string(text));
}

/* What others have written since the file was read stays, and is what runs to come take; a file
 * that is full begins anew. */
static ex_status merge(ex_algorithms_cache *cache, const ex_device *device, const char *path)
{
    json_t *all = cache->damaged ? json_object() : read_file(cache, device, path);
    const char *key;
    json_t *text;
    if (!all)
        return EX_ERR_IO;
    json_object_foreach(cache->made, key, text)
    {
        const bool since = json_object_get(all, key) && !json_object_get(cache->known, key);
        if (!since)
            (void)json_object_set(all, key, text);
    }
    if (json_object_size(all) > EX_ALGORITHMS_MAX) {
        json_decref(all);
        all = json_copy(cache->made);
    }
    return ex_algorithms_file_write(device, all, path);
}

static void write_file(ex_algorithms_cache *cache, const ex_device *device)
{
    place p;
    if (!place_of(&p, device) || ex_make_folders(p.folder) != EX_OK)
        return;
    /* One process after the other, or what one adds would be lost by the other's; where there are
     * no locks that may be. */
    const int lock = open(p.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock >= 0)
        (void)flock(lock, LOCK_EX);
    if (merge(cache, device, p.file) == EX_OK) {
        (void)json_object_update(cache->known, cache->made);
        json_decref(cache->made);
        cache->made = NULL;
        cache->damaged = false;
    }
    if (lock >= 0)
        close(lock);
}

void ex_algorithms_cache_write(ex_algorithms_cache *cache, const ex_device *device)
{
    if (!cache->made && !cache->damaged)
        return;
    const ex_error e = ex_error_keep();
    write_file(cache, device);
    ex_error_restore(&e);
}

void ex_algorithms_cache_close(ex_algorithms_cache *cache, const ex_device *device)
{
    ex_algorithms_cache_write(cache, device);
    json_decref(cache->known);
    json_decref(cache->made);
    *cache = (ex_algorithms_cache){0};
}
