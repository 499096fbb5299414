/* Allocation with messages, aligned for vector loads. Sizes are checked for overflow. */
#ifndef EX_MEMORY_H
#define EX_MEMORY_H

#include "base/status.h"

#include <stddef.h>

/* *out = `count` zeroed elements of `size` bytes, 64-byte aligned; freed by ex_free. count 0 gives
 * a valid pointer. `what` names the thing in the error message. */
ex_status ex_alloc(void *out, size_t count, size_t size, const char *what);
/* Makes room for one more element after `count` in the list at *list (ex_alloc's, or NULL), which
 * has *room: doubles it, or begins with `first`. On failure the list stays as it was. */
ex_status ex_grow(void *list, int count, int *room, int first, size_t size, const char *what);
/* *out = the first `most` bytes of the text, or all there are of it, with a zero byte behind them;
 * freed by ex_free. */
ex_status ex_text_copy(char **out, const char *text, size_t most, const char *what);
/* Frees *pointer and sets it to NULL; NULL-safe. Takes the address, like every destroy here. */
void ex_free(void *pointer);
/* Peak resident memory of the process, in bytes (getrusage). */
size_t ex_memory_peak(void);

#endif
