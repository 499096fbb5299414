/* Reference of flatten and dropout; its Philox is written from the paper's definition, word by
 * word. */
#include "reference.h"

uint32_t ex_ref_word(const ex_draws *d, size_t index)
{
    uint32_t c[4] = {d->counter[0] + (uint32_t)(index / 4), d->counter[1], d->counter[2],
                     d->counter[3]};
    for (uint32_t round = 0; round < 10; round++) {
        const uint64_t left = UINT64_C(0xD2511F53) * c[0], right = UINT64_C(0xCD9E8D57) * c[2];
        const uint32_t k0 = d->key[0] + round * 0x9E3779B9u, k1 = d->key[1] + round * 0xBB67AE85u;
        const uint32_t c0 = (uint32_t)(right >> 32) ^ c[1] ^ k0;
        const uint32_t c2 = (uint32_t)(left >> 32) ^ c[3] ^ k1;
        c[1] = (uint32_t)right, c[3] = (uint32_t)left, c[0] = c0, c[2] = c2;
    }
    return c[index % 4];
}

static float keep(const ex_dropout *drop, size_t index)
{
    if (!drop)
        return 1.0f;
    const double u = (double)(ex_ref_word(&drop->draws, index) >> 8) / 16777216.0;
    return u < (double)drop->rate ? 0.0f : 1.0f / (1.0f - drop->rate);
}

void ex_flatten_fwd_ref(float *out, const float *in, const ex_map_shape *m, const ex_dropout *drop)
{
    size_t i = 0;
    for (int n = 0; n < m->N; n++)
        for (int c = 0; c < m->C; c++)
            for (int y = 0; y < m->H; y++)
                for (int x = 0; x < m->W; x++, i++) {
                    const float scale = keep(drop, i);
                    const float v = in[ex_ref_offset(n, c, y, x, m->C, m->H, m->W, m->block)];
                    out[i] = scale == 0.0f ? 0.0f : v * scale;
                }
}

void ex_flatten_bwd_ref(float *din, const float *dout, const ex_map_shape *m,
                        const ex_dropout *drop)
{
    size_t i = 0;
    for (int n = 0; n < m->N; n++)
        for (int c = 0; c < m->C; c++)
            for (int y = 0; y < m->H; y++)
                for (int x = 0; x < m->W; x++, i++) {
                    const float scale = keep(drop, i);
                    din[ex_ref_offset(n, c, y, x, m->C, m->H, m->W, m->block)] =
                        scale == 0.0f ? 0.0f : dout[i] * scale;
                }
}
