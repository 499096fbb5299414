/* algorithms.json: what a device has chosen, a text for each key.
 *
 *   {"schema": 1, "device": "...", "algorithms": {"KEY": "TEXT", ...}} */
#ifndef EX_ALGORITHMS_FILE_H
#define EX_ALGORITHMS_FILE_H

#include "backend.h"

#include <jansson.h>

enum {
    EX_ALGORITHMS_MAX = 1 << 12,      /* choices of a file */
    EX_ALGORITHMS_TEXT_MAX = 1 << 16, /* bytes of one's text */
};

/* *root owns *algorithms, an object of texts, NULL where the file was made for another device or by
 * another version, of which the log warns. EX_ERR_INPUT for what is no such file, whoever made it.
 */
ex_status ex_algorithms_file_read(json_t **root, json_t **algorithms, const ex_device *device,
                                  const char *path);
/* Takes `algorithms`. */
ex_status ex_algorithms_file_write(const ex_device *device, json_t *algorithms, const char *path);

#endif
