/* Element types of tensor files: their names and sizes, and conversion to float. */
#ifndef EX_DTYPE_H
#define EX_DTYPE_H

#include <stddef.h>

/* X(suffix, name in files, bytes, converter to float or NULL) */
#define EX_DTYPE_LIST(X)                                                                           \
    X(F32, "F32", 4, f32_to_float)                                                                 \
    X(F16, "F16", 2, f16_to_float)                                                                 \
    X(BF16, "BF16", 2, bf16_to_float)                                                              \
    X(F64, "F64", 8, f64_to_float)                                                                 \
    X(I64, "I64", 8, i64_to_float)                                                                 \
    X(I32, "I32", 4, NULL)                                                                         \
    X(I16, "I16", 2, NULL)                                                                         \
    X(I8, "I8", 1, NULL)                                                                           \
    X(U64, "U64", 8, NULL)                                                                         \
    X(U32, "U32", 4, NULL)                                                                         \
    X(U16, "U16", 2, NULL)                                                                         \
    X(U8, "U8", 1, NULL)                                                                           \
    X(BOOL, "BOOL", 1, NULL)

typedef enum ex_dtype {
#define X(suffix, name, bytes, convert) EX_DTYPE_##suffix,
    EX_DTYPE_LIST(X)
#undef X
        EX_DTYPE_COUNT
} ex_dtype;

const char *ex_dtype_name(ex_dtype t);
size_t ex_dtype_bytes(ex_dtype t);
/* EX_DTYPE_COUNT for an unknown name. */
ex_dtype ex_dtype_find(const char *name);
/* out (count) floats from `count` little-endian elements at any address. Returns 0 for a type that
 * is not converted. F16 and BF16 are exact; F64 and I64 are rounded to nearest. */
int ex_dtype_to_float(float *out, const void *in, size_t count, ex_dtype t);

#endif
