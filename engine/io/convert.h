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
 * NULL: the one whose tensors the file holds. images: channels (0: as the file shows), height and
 * width of the images that the model takes; NULL: as the file's metadata tells, else the first
 * usual size whose model has the file's shapes. EX_ERR_INPUT, naming tensors, if none are under a
 * known name, or if some are missing, match nothing or have another shape. */
ex_status ex_convert_read(ex_converted *out, const char *path, const char *architecture,
                          const ex_model_shape *images);
/* Whether shapes of the architecture's tensors depend on the size of the images; that of `shape` is
 * not looked at. */
ex_status ex_convert_sized(bool *sized, const char *architecture, ex_model_shape shape);
/* Under which names the file holds the tensors of `model`: for writing it as that file is. Their
 * values and the number of classes are not looked at. EX_ERR_INPUT if it holds another architecture
 * or lacks tensors. */
ex_status ex_convert_names(ex_file_names *out, const char *path, const ex_model *model);
void ex_convert_close(ex_converted *c);
/* names NULL: ours. For whoever reads the file, nothing here does, its metadata tell by "naming"
 * and "prefix" which names it has or, where those are ours, which ones those had that *c was read
 * from. EX_ERR_INPUT if the naming lacks one of the model's tensors; EX_ERR_IO. */
ex_status ex_convert_write(const ex_converted *c, const char *path, const ex_file_names *names);

#endif
