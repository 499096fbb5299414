/* What `bench kernels` calls: a table of operations of kernels.h, and the buffers that they run on,
 * of the sizes that a model gives them. It never measures: kernels.c does. */
#ifndef EX_BENCH_OPERATIONS_H
#define EX_BENCH_OPERATIONS_H

#include "bench.h"

enum {
    OPERATION_MAPS = 3,     /* that are read */
    OPERATION_VARIANTS = 4, /* of the ablations: as the strategy `batched` has them */
    OPERATION_VECTORS = 3,  /* two are written, one only read */
    OPERATION_CHANNELS = 4, /* mean, var, and two more that are written */
};

typedef struct operands {
    const ex_federation *f;
    ex_stream s;
    ex_map_shape map; /* of the first convolution; blocks of 16 channels where it has as many */
    ex_norm_train norm;
    ex_conv_shape conv;   /* 3x3 from a map to one like it */
    const ex_layer *fold; /* the largest layer, whose filters a norm is folded into */
    size_t values;        /* of a map */
    void *out;            /* (OPERATION_VARIANTS, values) of the maps' type */
    void *in[OPERATION_MAPS];
    size_t in_values;                 /* of each: a map, or the filters of `conv` */
    float *vector[OPERATION_VECTORS]; /* (vector_floats) */
    size_t vector_floats;             /* parameters, a map or filters of `conv` */
    float *channel[OPERATION_CHANNELS];
    float *ones, *zeros; /* as many as the widest layer has channels */
    size_t channels;     /* floats of each of these six */
    float *scratch;
    uint32_t *index;    /* (N) */
    int32_t *predicted; /* (N) */
    int8_t *tap;        /* (values) where a pool found its largest */
    int32_t *row;       /* (rows) filters of `conv` that are trained, evenly spread */
    int rows;
    int32_t changed[OPERATION_VARIANTS];
    float fill[OPERATION_VARIANTS];
    int64_t *sums; /* (parameters) */
    ex_segment all;
} operands;

/* What must move in one call: `maps` values of the maps' type and `words` of 4 bytes for each value
 * of a map, `parameters` bytes for each value of the model, and what `more` says (may be NULL). */
typedef struct operation {
    const char *name;
    double maps, words, parameters;
    double (*more)(const operands *w);
    void (*call)(operands *w);
} operation;

extern const operation bench_operations[];
extern const int bench_operation_count;

double bench_operation_bytes(const operation *c, const operands *w);

ex_status bench_operands_open(operands *w, const ex_federation *f, const bench_options *o);
void bench_operands_close(operands *w);
/* The same values in every call, from -1 to 1 and without a pattern, in whatever is read or
 * written. */
void bench_operands_fill(operands *w);
/* Of the bits of all that an operation may write. */
uint64_t bench_operands_digest(const operands *w);

#endif
