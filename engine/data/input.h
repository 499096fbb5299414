/* A data file being read, plain or gzipped alike (zlib looks at the first bytes). An error is
 * EX_ERR_INPUT naming the path, what was expected and what was found; or EX_ERR_MEMORY, or
 * EX_ERR_IO where the process or the disk is short of something. */
#ifndef EX_INPUT_H
#define EX_INPUT_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ex_input ex_input;

ex_status ex_input_open(ex_input **out, const char *path);
void ex_input_close(ex_input **input);
/* Exactly `bytes` bytes; `what` names them in the message. */
ex_status ex_input_read(ex_input *input, void *out, uint64_t bytes, const char *what);
/* Up to `bytes` bytes; *got says how many there were. */
ex_status ex_input_read_some(ex_input *input, void *out, uint64_t bytes, uint64_t *got);
/* Up to `most` bytes in new memory, freed by ex_free: *got of them. The memory grows with what the
 * file turns out to hold, so that a size from a header costs nothing until the bytes are there. */
ex_status ex_input_take(ex_input *input, uint8_t **out, uint64_t most, uint64_t *got);
/* Nothing may follow. */
ex_status ex_input_end(ex_input *input);
/* The file cannot hold more than so many bytes, even if it is compressed. */
uint64_t ex_input_most(const ex_input *input);

#endif
