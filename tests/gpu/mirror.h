/* Operands of the tests in memory of the GPU, for as long as one operation runs.
 *
 * The tests of kernels hold their operands where C puts them, which a GPU need not be able to read.
 * The table ex_kernels_mirrored (mirrored.c) stands between: it gives the operation of CUDA's table
 * copies in device memory, at the same alignment, waits for it, and brings back what it may have
 * written. A copy is as long as the operand is by the contract in kernels.h, between guards of
 * NaN: what is read or written beside it shows. With EX_TEST_EXACT set there are no guards, so
 * that compute-sanitizer, or the emulated device, sees where an allocation ends. */
#ifndef EX_TEST_MIRROR_H
#define EX_TEST_MIRROR_H

#include "table_cuda.h"

#include <stdbool.h>
#include <stddef.h>

extern const ex_kernels ex_kernels_mirrored;

enum { MIRROR_OPERANDS = 16 };

typedef struct mirror_operand {
    void *host;
    size_t bytes, lead; /* bytes of the operand; before it in the allocation */
    char *device;       /* the allocation */
    int number;
    bool written; /* by the operation */
} mirror_operand;

typedef struct mirror {
    mirror_operand operand[MIRROR_OPERANDS];
    int count;
    ex_stream stream; /* what the operation is to run on */
} mirror;

/* Whether there is a GPU to run on; says why not. */
bool mirror_open(void);

mirror mirror_begin(ex_stream s);
/* The operand's copy, which the operation only reads, or may write. NULL for NULL. An operand that
 * was named before, or lies at the start of one, is the same memory. */
void *mirror_in(mirror *m, const void *host, size_t bytes);
void *mirror_out(mirror *m, void *host, size_t bytes);
/* Waits, and brings back what was written. What is wrong, as text: the operation failed, wrote
 * beside an operand or wrote to what it may only read; NULL if nothing is. */
const char *mirror_finish(mirror *m, const char *operation);
/* The same, and fails the test. */
void mirror_end(mirror *m, const char *operation);

#endif
