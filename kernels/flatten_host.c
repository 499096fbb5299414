/* A map as the rows that a linear layer reads, with dropout on the way.
 *
 *   fwd: out[n, (c, p)] = in[n, c, p] * keep / (1 - rate)      bwd: the same, from out to in
 *
 * The row's order is that of PyTorch's flatten; keep is drawn by the position in the rows. Rows are
 * walked in order, four values a block of words. */
#include "flatten.h"
#include "map.h"

#include <stdbool.h>

typedef struct flat {
    size_t C, pixels, block, row;
    bool forward;
    const ex_dropout *drop; /* NULL: nothing is dropped */
    float scale;
} flat;

/* One image, from its map to its row (forward) or back, (C * pixels) values each; `first` is the
 * place of the row's first value among all, and so the word that it draws. */
EX_INLINE void flatten_row(void *restrict to, const void *restrict from, ex_map_type type,
                           const flat *f, size_t first)
{
    ex_words words = {{0}};
    size_t i = 0;
    for (size_t c = 0; c < f->C; c++) {
        const size_t slab = c / f->block * f->pixels * f->block + c % f->block;
        for (size_t p = 0; p < f->pixels; p++, i++) {
            const size_t at = slab + p * f->block, word = first + i;
            float value = ex_map_get(from, f->forward ? at : i, type);
            if (f->drop) {
                if (i == 0 || word % 4 == 0)
                    words = ex_philox_body(&f->drop->draws, (uint32_t)(word / 4));
                value = ex_dropout_body(value, words.v[word % 4], f->drop->rate, f->scale);
            }
            ex_map_put(to, f->forward ? i : at, value, type);
        }
    }
}

EX_INLINE void flatten_rows(void *to, const void *from, ex_map_type type, const flat *f,
                            size_t begin, size_t end)
{
    for (size_t n = begin; n < end; n++)
        flatten_row(ex_map_at(to, (ptrdiff_t)(n * f->row), type),
                    ex_map_in(from, (ptrdiff_t)(n * f->row), type), type, f, n * f->row);
}

EX_CLONES static void flatten_range(void *to, const void *from, ex_map_type type, const flat *f,
                                    size_t begin, size_t end)
{
    EX_TYPED(type, T, flatten_rows(to, from, T, f, begin, end));
}

static void flatten(void *to, const void *from, const ex_map_shape *shape, const ex_dropout *drop,
                    bool forward, ex_stream s)
{
    const size_t C = (size_t)shape->C, pixels = (size_t)shape->H * (size_t)shape->W;
    const size_t N = (size_t)shape->N;
    const flat f = {.C = C,
                    .pixels = pixels,
                    .block = (size_t)shape->block,
                    .row = C * pixels,
                    .forward = forward,
                    .drop = drop,
                    .scale = drop ? ex_dropout_scale(drop->rate) : 1.0f};
    EX_SHARE(N, N * f.row, s, flatten_range(to, from, shape->type, &f, begin, end));
}

void ex_flatten_fwd_host(void *out, const void *in, const ex_map_shape *shape,
                         const ex_dropout *drop, ex_stream s)
{
    flatten(out, in, shape, drop, true, s);
}

void ex_flatten_bwd_host(void *din, const void *dout, const ex_map_shape *shape,
                         const ex_dropout *drop, ex_stream s)
{
    flatten(din, dout, shape, drop, false, s);
}
