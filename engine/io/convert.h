/* Models between the names of PyTorch's collections (naming.h) and ours. Values are carried over
 * bit for bit where the file holds float32. */
#ifndef EX_CONVERT_H
#define EX_CONVERT_H

#include "base/status.h"
#include "io/naming.h"
#include "model/model.h"

typedef struct ex_converted {
    ex_model *model;
    float *params, *stats; /* (param_count), (stat_count) of the model */
    int64_t batches;       /* num_batches_tracked */
    ex_file_names names;   /* those of the file */
} ex_converted;

/* Reads a .safetensors file under any known naming. architecture: a name for ex_model_create, or
 * NULL: the one whose tensors the file holds. EX_ERR_INPUT, naming tensors, if none are under a
 * known name, or if some are missing, match nothing or have another shape. */
ex_status ex_convert_read(ex_converted *out, const char *path, const char *architecture);
void ex_convert_close(ex_converted *c);
/* names NULL: ours. EX_ERR_INPUT if the naming lacks one of the model's tensors; EX_ERR_IO. */
ex_status ex_convert_write(const ex_converted *c, const char *path, const ex_file_names *names);

#endif
