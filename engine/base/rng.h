/* Counter-based randomness: Philox4x32-10 (Salmon et al. 2011, from Random123).
 *
 * A stream is named by where its numbers are used, never by how many were drawn before it, so a
 * result does not depend on the number of lanes, ranks or threads, and a resumed run draws what an
 * uninterrupted one would have. */
#ifndef EX_RNG_H
#define EX_RNG_H

#include <stddef.h>
#include <stdint.h>

/* What a stream is used for: two uses at the same place never share numbers. Append only: the
 * values are part of what a seed means. */
typedef enum ex_rng_use {
    EX_RNG_INIT = 0,
    EX_RNG_SUBSET = 1,    /* choice of the training subset */
    EX_RNG_SERVER = 2,    /* the server's samples */
    EX_RNG_PARTITION = 3,
    EX_RNG_COHORT = 4,
    EX_RNG_SHUFFLE = 5,
    EX_RNG_RELABEL = 6,
    EX_RNG_PROBE = 7,
    EX_RNG_SELECT = 8,    /* DE Random's channels */
    EX_RNG_SYNTHETIC = 9, /* generated data */
    EX_RNG_DROPOUT = 10,
    EX_RNG_AUGMENT = 11,
    EX_RNG_TEST = 255
} ex_rng_use;

/* Coordinates lie below these. */
enum { EX_RNG_CLIENTS = 1 << 20, EX_RNG_EPOCHS = 1 << 12, EX_RNG_ROUNDS = 1 << 24 };

/* Coordinates of a stream; what does not apply stays 0. */
typedef struct ex_rng_key {
    uint64_t seed;
    ex_rng_use use;
    uint32_t client, round, epoch, step;
} ex_rng_key;

typedef struct ex_rng {
    uint32_t key[2], counter[4];
    uint32_t buffer[4];
    int used; /* words of buffer already handed out */
} ex_rng;

ex_rng ex_rng_at(ex_rng_key key);
uint32_t ex_rng_u32(ex_rng *r);
/* Uniform in [0, n), without bias (rejection); n > 0. */
uint32_t ex_rng_below(ex_rng *r, uint32_t n);
/* Uniform in [0, 1), 24 bits. */
float ex_rng_uniform(ex_rng *r);
double ex_rng_normal(ex_rng *r);             /* mean 0, deviation 1 (Box-Muller) */
double ex_rng_gamma(ex_rng *r, double shape); /* scale 1 (Marsaglia and Tsang 2000) */
/* Fisher-Yates shuffle of `count` indexes. */
void ex_rng_shuffle(ex_rng *r, uint32_t *values, size_t count);

#endif
