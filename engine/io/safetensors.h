/* The safetensors format: a 64-bit little-endian header length, a JSON header (tensor name ->
 * dtype, shape, data_offsets; "__metadata__" -> strings), then the tensors' bytes without gaps.
 *
 * A file is untrusted: lengths, offsets, shapes and names are checked before they are used, and
 * each fault is EX_ERR_INPUT naming the file and what is wrong. Knows nothing of models. */
#ifndef EX_SAFETENSORS_H
#define EX_SAFETENSORS_H

#include "base/status.h"
#include "io/dtype.h"

#include <jansson.h>
#include <stddef.h>

enum { EX_TENSOR_AXES_MAX = 8 };

/* Reading: `data` points into the file's bytes, at any alignment. Writing: at the caller's. */
typedef struct ex_tensor_entry {
    const char *name;
    ex_dtype dtype;
    int ndim; /* 0 for a scalar */
    size_t shape[EX_TENSOR_AXES_MAX];
    size_t count; /* elements; the product of the shape */
    const void *data;
} ex_tensor_entry;

typedef struct ex_safetensors {
    ex_tensor_entry *entries; /* in the order of their data */
    size_t entry_count;
    const ex_tensor_entry **by_name; /* (entry_count) the same, sorted */
    json_t *header;
    unsigned char *data;
    size_t data_bytes;
} ex_safetensors;

ex_status ex_safetensors_read(ex_safetensors **out, const char *path);
void ex_safetensors_close(ex_safetensors **file);
/* NULL if there is none of that name. */
const ex_tensor_entry *ex_safetensors_find(const ex_safetensors *file, const char *name);
const char *ex_safetensors_metadata(const ex_safetensors *file, const char *key);

/* Writes the file atomically. metadata: an object of strings, or NULL. Each entry's count is taken
 * from its shape. Entries of larger elements should come first: then all are aligned. */
ex_status ex_safetensors_write(const char *path, const ex_tensor_entry *entries, size_t entry_count,
                               const json_t *metadata);

#endif
