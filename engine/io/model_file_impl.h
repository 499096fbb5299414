/* Shared by the files of model_file.h: layouts, and telling what a file holds. */
#ifndef EX_MODEL_FILE_IMPL_H
#define EX_MODEL_FILE_IMPL_H

#include "io/model_file.h"
#include "io/safetensors.h"
#include "model/model.h"

#define EX_TRACKED "num_batches_tracked" /* a batch norm's counter in PyTorch */

/* Filters lie K,R,S,C in a model's vectors and K,C,R,S in files; other tensors are copied. out, in:
 * (t->size) floats each, apart from each other. */
void ex_layout_to_file(float *out, const float *in, const ex_tensor *t);
void ex_layout_from_file(float *out, const float *in, const ex_tensor *t);

/* The architecture all of whose tensors are in the file, with its classes and channels. */
void ex_model_file_recognise(const ex_safetensors *file, ex_model_info *out);

#endif
