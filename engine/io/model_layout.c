#include "io/model_file_impl.h"

#include <string.h>

/* out (rows, b, a) = in (rows, a, b). */
static void transpose(float *out, const float *in, size_t rows, size_t a, size_t b)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < a; i++)
            for (size_t j = 0; j < b; j++)
                out[(row * b + j) * a + i] = in[(row * a + i) * b + j];
}

static size_t pixels(const ex_tensor *t)
{
    return (size_t)t->shape[2] * (size_t)t->shape[3];
}

void ex_layout_to_file(float *out, const float *in, const ex_tensor *t)
{
    if (t->kind == EX_TENSOR_CONV_WEIGHT)
        transpose(out, in, (size_t)t->shape[0], pixels(t), (size_t)t->shape[1]);
    else
        memcpy(out, in, t->size * sizeof *out);
}

void ex_layout_from_file(float *out, const float *in, const ex_tensor *t)
{
    if (t->kind == EX_TENSOR_CONV_WEIGHT)
        transpose(out, in, (size_t)t->shape[0], (size_t)t->shape[1], pixels(t));
    else
        memcpy(out, in, t->size * sizeof *out);
}
