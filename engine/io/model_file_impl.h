/* Shared by the files of model_file.h: layouts, and telling what a file holds. */
#ifndef EX_MODEL_FILE_IMPL_H
#define EX_MODEL_FILE_IMPL_H

#include "io/model_file.h"
#include "io/naming.h"
#include "io/safetensors.h"
#include "model/model.h"

#define EX_TRACKED "num_batches_tracked" /* a batch norm's counter in PyTorch */

/* Filters lie K,R,S,C in a model's vectors and K,C,R,S in files; other tensors are copied. out, in:
 * (t->size) floats each, apart from each other. */
void ex_layout_to_file(float *out, const float *in, const ex_tensor *t);
void ex_layout_from_file(float *out, const float *in, const ex_tensor *t);

/* The architecture all of whose tensors are in the file, the most there are, with its classes and
 * channels. names: in all of this header, what the file calls them; NULL: our names. */
ex_status ex_model_file_recognise(const ex_safetensors *file, const ex_file_names *names,
                                  ex_model_info *out);
/* The architecture for images of a usual size, whose tensors have its names. */
ex_status ex_model_file_example(ex_model **out, const char *architecture);
/* How many tensors of the example are in the file, by name alone; where the first and the last are,
 * *info tells its classes and channels. */
int ex_model_file_count(const ex_safetensors *file, const ex_file_names *names,
                        const ex_model *example, ex_model_info *info);
/* Size of the images that the file's metadata tells, 0 and 0 where it tells none. EX_ERR_INPUT if
 * it is no size. */
ex_status ex_model_file_images(const ex_safetensors *file, const char *path, int *height,
                               int *width);
/* Length of the norm's name if the entry is its counter, else 0. */
size_t ex_model_file_tracked(const char *name);
/* As ex_model_file_read says. */
ex_status ex_model_file_check_fit(const ex_safetensors *file, const char *path,
                                  const ex_file_names *names, const ex_model *m);
/* The same, and every tensor that does not fit as a line of the log. */
ex_status ex_model_file_tell_fit(const ex_safetensors *file, const char *path,
                                 const ex_file_names *names, const ex_model *m);
ex_status ex_model_file_take(const ex_safetensors *file, const char *path,
                             const ex_file_names *names, const ex_model *model, float *params,
                             float *stats, int64_t *batches);
/* ex_model_file_write under other names. EX_ERR_INPUT if the naming lacks one of them. */
ex_status ex_model_file_write_as(const char *path, const ex_file_names *names,
                                 const ex_model *model, const float *params, const float *stats,
                                 int64_t batches, const json_t *metadata);

#endif
