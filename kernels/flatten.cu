/* A map as the rows that a linear layer reads, with dropout on the way.
 *
 *   fwd: out[n, (c, p)] = in[n, c, p] * keep / (1 - rate)      bwd: the same, from out to in
 *
 * A thread owns four values that follow each other in the rows, one block of random words, and so
 * reads or writes the rows in order; the map's side is strided, in NHWC by the channels. */
#include "flatten.h"
#include "launch.h"
#include "layout.h"
#include "quad.h"

typedef struct flat {
    uint32_t pixels, block, row;
    size_t total; /* values of all rows */
    int forward, dropping;
    ex_draws draws;
    float rate, scale;
} flat;

/* Reads each value once, writes it once. */
template <typename T>
static __global__ void __launch_bounds__(EX_BLOCK)
    flatten_kernel(T *__restrict__ to, const T *__restrict__ from, flat f)
{
    const size_t groups = (f.total + 3) / 4;
    for (size_t g = ex_thread(); g < groups; g += ex_threads()) {
        ex_words words = {{0, 0, 0, 0}};
        if (f.dropping)
            words = ex_philox_body(&f.draws, (uint32_t)g);
        for (uint32_t j = 0; j < 4 && 4 * g + j < f.total; j++) {
            const size_t i = 4 * g + j, n = i / f.row;
            const uint32_t in_row = (uint32_t)(i - n * f.row);
            const uint32_t c = in_row / f.pixels, p = in_row % f.pixels;
            const size_t at =
                n * f.row + ((size_t)(c / f.block) * f.pixels + p) * f.block + c % f.block;
            float value = ex_value(from[f.forward ? at : i]);
            if (f.dropping)
                value = ex_dropout_body(value, words.v[j], f.rate, f.scale);
            ex_keep(to + (f.forward ? i : at), value);
        }
    }
}

static void flatten(void *to, const void *from, const ex_map_shape *shape, const ex_dropout *drop,
                    int forward, ex_stream s)
{
    flat f = {};
    f.pixels = (uint32_t)shape->H * (uint32_t)shape->W;
    f.block = (uint32_t)shape->block;
    f.row = (uint32_t)shape->C * f.pixels;
    f.total = (size_t)shape->N * f.row;
    f.forward = forward;
    if (drop) {
        f.dropping = 1;
        f.draws = drop->draws;
        f.rate = drop->rate;
        f.scale = ex_dropout_scale(drop->rate);
    }
    if (f.total == 0)
        return;
    const unsigned blocks = ex_launch_blocks((f.total + 3) / 4);
    if (shape->type == EX_MAP_BF16)
        EX_LAUNCH(flatten_kernel<ex_bf16>, blocks, EX_BLOCK, 0, s, (ex_bf16 *)to,
                  (const ex_bf16 *)from, f);
    else
        EX_LAUNCH(flatten_kernel<float>, blocks, EX_BLOCK, 0, s, (float *)to, (const float *)from,
                  f);
}

void ex_flatten_fwd_cuda(void *out, const void *in, const ex_map_shape *shape,
                         const ex_dropout *drop, ex_stream s)
{
    flatten(out, in, shape, drop, 1, s);
}

void ex_flatten_bwd_cuda(void *din, const void *dout, const ex_map_shape *shape,
                         const ex_dropout *drop, ex_stream s)
{
    flatten(din, dout, shape, drop, 0, s);
}
