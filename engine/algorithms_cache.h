/* What devices of this machine have chosen, from run to run: a choice that no file of the run's own
 * (algorithms_file.h) names is looked for here before it is timed.
 *
 * A file for each device with its libraries, and version of excise, in the format of
 * algorithms_file.h: FOLDER/algorithms/DIGEST.json. FOLDER is what EXCISE_CACHE names ("off": none
 * is), or excise in XDG_CACHE_HOME or in ~/.cache. Devices with a limit of memory, which rules out
 * algorithms, have none. What cannot be read or written is done without, silently; of a damaged
 * file the log warns, and it is replaced. Several processes may use a file at once. None of this
 * touches the last error. */
#ifndef EX_ALGORITHMS_CACHE_H
#define EX_ALGORITHMS_CACHE_H

#include "backend.h"

#include <jansson.h>

/* A device's, which locks it; all zeros at first. */
typedef struct ex_algorithms_cache {
    json_t *known; /* what the file had when it was first asked; NULL: it was not yet */
    json_t *made;  /* what is new; NULL: nothing */
    bool damaged;  /* the file is to be replaced */
} ex_algorithms_cache;

/* The text of the key, NULL if there is none; valid until the cache is closed. */
const char *ex_algorithms_cache_find(ex_algorithms_cache *cache, const ex_device *device,
                                     const char *key);
/* Keeps a choice for the runs to come, in place of one that was found and could not be used. */
void ex_algorithms_cache_add(ex_algorithms_cache *cache, const ex_device *device, const char *key,
                             const char *text);
/* Brings what is new to the file. */
void ex_algorithms_cache_write(ex_algorithms_cache *cache, const ex_device *device);
/* The same, and frees what the cache holds. */
void ex_algorithms_cache_close(ex_algorithms_cache *cache, const ex_device *device);

#endif
