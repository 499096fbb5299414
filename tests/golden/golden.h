/* Reader of golden files: arrays by name, made by make_golden.py, format in golden_file.py. */
#ifndef EX_GOLDEN_H
#define EX_GOLDEN_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef enum ex_golden_type { EX_GOLDEN_FLOAT, EX_GOLDEN_BYTE, EX_GOLDEN_INT } ex_golden_type;

typedef struct ex_golden_array {
    char name[128];
    ex_golden_type type;
    int ndim;
    uint32_t shape[4];
    size_t count; /* elements */
    void *values;
} ex_golden_array;

typedef struct ex_golden {
    ex_golden_array *arrays;
    size_t count;
} ex_golden;

/* EX_ERR_INPUT naming what is wrong with a file that is not whole; every size is checked. */
ex_status ex_golden_read(ex_golden **out, const char *path);
void ex_golden_close(ex_golden **golden);
/* NULL if there is none of that name. */
const ex_golden_array *ex_golden_find(const ex_golden *golden, const char *name);

/* For tests: fail unless the array exists with that type and, if count > 0, that many elements.
 * `format` gives the name, printf style. */
const float *ex_golden_floats(const ex_golden *g, size_t count, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const int32_t *ex_golden_ints(const ex_golden *g, size_t count, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const uint8_t *ex_golden_bytes(const ex_golden *g, size_t count, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
