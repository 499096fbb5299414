/* Philox4x32-10 (Salmon et al. 2011), for kernels that draw where they compute: a block of four
 * words is a function of key and counter alone. The engine's streams (rng.h) come from Random123's
 * implementation of the same; a test holds the two against each other. */
#ifndef EX_KERNELS_PHILOX_H
#define EX_KERNELS_PHILOX_H

#include "device.h"
#include "kernels.h"

typedef struct ex_words {
    uint32_t v[4];
} ex_words;

/* Words 4 * block to 4 * block + 3 of the stream. */
EX_BODY ex_words ex_philox_body(const ex_draws *draws, uint32_t block)
{
    const uint32_t *const at = draws->at;
    uint32_t k0 = draws->key[0], k1 = draws->key[1];
    ex_words x = {{draws->counter[0] + block, draws->counter[1] + (at ? at[0] : 0),
                   draws->counter[2] + (at ? at[1] : 0), draws->counter[3] + (at ? at[2] : 0)}};
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xd2511f53u * x.v[0], b = (uint64_t)0xcd9e8d57u * x.v[2];
        const ex_words next = {{(uint32_t)(b >> 32) ^ x.v[1] ^ k0, (uint32_t)b,
                                (uint32_t)(a >> 32) ^ x.v[3] ^ k1, (uint32_t)a}};
        x = next;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    return x;
}

#endif
