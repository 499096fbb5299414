/* A model's values as a .safetensors file under PyTorch's names, and back.
 *
 * Files hold convolution weights K,C,R,S and, per batch norm, num_batches_tracked, which is
 * optional on reading. The metadata names the architecture and its shape; files without it (saved
 * from PyTorch) work as well. */
#ifndef EX_MODEL_FILE_H
#define EX_MODEL_FILE_H

#include "base/status.h"
#include "model/model.h"

#include <jansson.h>
#include <stdint.h>

/* What a file tells of its model. From the metadata; without it, architecture, classes and channels
 * as the tensors show them. Unknown: "" and 0. */
typedef struct ex_model_info {
    char architecture[EX_NAME_MAX]; /* a name for ex_model_create, or "" */
    ex_model_shape shape;           /* for ex_model_create; sizes as the network takes them */
} ex_model_info;

/* params (param_count), stats (stat_count). batches: written as num_batches_tracked of every norm
 * (0 is fine). metadata: an object of strings to add, or NULL. */
ex_status ex_model_file_write(const char *path, const ex_model *model, const float *params,
                              const float *stats, int64_t batches, const json_t *metadata);
/* Fills params and stats. Tensors that are missing, not expected or of another shape are
 * EX_ERR_INPUT naming the first few and the architecture that the file looks like; so are values
 * that are not finite and negative variances. batches: num_batches_tracked (0 if there is none);
 * may be NULL. */
ex_status ex_model_file_read(const char *path, const ex_model *model, float *params, float *stats,
                             int64_t *batches);
ex_status ex_model_file_describe(const char *path, ex_model_info *out);

#endif
