#include "base/rng.h"

#include <Random123/philox.h>
#include <assert.h>
#include <math.h>

ex_rng ex_rng_at(ex_rng_key key)
{
    assert(key.client < EX_RNG_CLIENTS && key.epoch < EX_RNG_EPOCHS && key.round < EX_RNG_ROUNDS);
    return (ex_rng){
        .key = {(uint32_t)key.seed, (uint32_t)(key.seed >> 32)},
        .counter = {0, key.step, key.client << 12 | key.epoch, key.round << 8 | (uint32_t)key.use},
        .used = 4,
    };
}

uint32_t ex_rng_u32(ex_rng *r)
{
    if (r->used == 4) {
        const philox4x32_ctr_t counter = {
            {r->counter[0], r->counter[1], r->counter[2], r->counter[3]}};
        const philox4x32_key_t key = {{r->key[0], r->key[1]}};
        const philox4x32_ctr_t block = philox4x32(counter, key);
        for (int i = 0; i < 4; i++)
            r->buffer[i] = block.v[i];
        r->counter[0]++;
        r->used = 0;
    }
    return r->buffer[r->used++];
}

uint32_t ex_rng_below(ex_rng *r, uint32_t n)
{
    assert(n > 0);
    const uint32_t reject = (0u - n) % n; /* 2^32 mod n: draws below it would favour small values */
    uint32_t x;
    do
        x = ex_rng_u32(r);
    while (x < reject);
    return x % n;
}

float ex_rng_uniform(ex_rng *r)
{
    return (float)(ex_rng_u32(r) >> 8) * 0x1p-24f;
}

static double uniform_open(ex_rng *r)
{
    return ((double)ex_rng_u32(r) + 0.5) * 0x1p-32;
}

double ex_rng_normal(ex_rng *r)
{
    const double radius = sqrt(-2.0 * log(uniform_open(r)));
    return radius * cos(6.283185307179586 * uniform_open(r));
}

double ex_rng_gamma(ex_rng *r, double shape)
{
    /* Below 1 the method does not apply: Gamma(a) = Gamma(a + 1) * U^(1/a). */
    if (shape < 1.0)
        return ex_rng_gamma(r, shape + 1.0) * pow(uniform_open(r), 1.0 / shape);
    const double d = shape - 1.0 / 3.0, c = 1.0 / sqrt(9.0 * d);
    for (;;) {
        const double x = ex_rng_normal(r);
        const double t = 1.0 + c * x;
        if (t <= 0.0)
            continue;
        const double v = t * t * t;
        if (log(uniform_open(r)) < 0.5 * x * x + d - d * v + d * log(v))
            return d * v;
    }
}

void ex_rng_shuffle(ex_rng *r, uint32_t *values, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        const uint32_t j = ex_rng_below(r, (uint32_t)i);
        const uint32_t t = values[i - 1];
        values[i - 1] = values[j];
        values[j] = t;
    }
}
