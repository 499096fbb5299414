/* Option-A shortcut of ResNet on CIFAR: subsample, and pad the channels with zeros on both sides.
 *
 *   out[n, pad + c, y, x] = in[n, c, stride*y, stride*x],  zero in the other channels
 *   pad = (K - C) / 2,  in (N, C, H, W),  out (N, K, ceil(H/stride), ceil(W/stride))
 *
 * Both sides may have any layout of kernels.h. A slab is the part of the output that shares n and
 * the channel block; within it, channels that are neighbours in memory on both sides form a run,
 * which is moved pixel by pixel. Each element of `in` has at most one place in `out`, so the
 * backward pass is the same walk with the arrow turned round. */
#include "map.h"

#include <stdbool.h>

typedef struct shortcut {
    size_t C, K, pad;
    size_t H, W, out_H, out_W, stride;
    size_t in_block, out_block;
} shortcut;

static shortcut shortcut_of(const ex_map_shape *in, int K, int out_block, int stride)
{
    const size_t step = (size_t)stride, H = (size_t)in->H, W = (size_t)in->W;
    return (shortcut){.C = (size_t)in->C,
                      .K = (size_t)K,
                      .pad = (size_t)(K - in->C) / 2,
                      .H = H,
                      .W = W,
                      .out_H = (H + step - 1) / step,
                      .out_W = (W + step - 1) / step,
                      .stride = step,
                      .in_block = (size_t)in->block,
                      .out_block = (size_t)out_block};
}

/* Moves `run` neighbouring channels of every pixel; steps are values from one pixel that takes part
 * to the next. Constants where the call gives some, so that the common loops vectorise. */
EX_INLINE void move_run(void *restrict out, void *restrict in, ex_map_type type, const shortcut *g,
                        bool forward, size_t run, size_t in_step, size_t out_step)
{
    for (size_t y = 0; y < g->out_H; y++) {
        void *restrict to = ex_map_at(out, (ptrdiff_t)(y * g->out_W * out_step), type);
        void *restrict from = ex_map_at(in, (ptrdiff_t)(y * g->W * in_step), type);
        for (size_t x = 0; x < g->out_W; x++)
            for (size_t j = 0; j < run; j++) {
                const float there = ex_map_get(from, x * in_step + j, type);
                if (forward)
                    ex_map_put(to, x * out_step + j, there, type);
                else
                    ex_map_put(from, x * in_step + j,
                               there + ex_map_get(to, x * out_step + j, type), type);
            }
    }
}

/* The output channels first, ..., first + out_block of one image; out: their slab. */
EX_INLINE void move_slab(void *out, void *in, ex_map_type type, const shortcut *g, bool forward,
                         size_t first)
{
    const size_t in_step = g->in_block * g->stride, out_step = g->out_block;
    const size_t image_end = g->pad + g->C, slab_end = first + g->out_block;
    const size_t end = slab_end < image_end ? slab_end : image_end;
    for (size_t k = first > g->pad ? first : g->pad, run; k < end; k += run) {
        const size_t c = k - g->pad, within = c % g->in_block;
        run = g->in_block - within < end - k ? g->in_block - within : end - k;
        void *from = ex_map_at(in, (ptrdiff_t)((c - within) * g->H * g->W + within), type);
        void *to = ex_map_at(out, (ptrdiff_t)(k - first), type);
        if (in_step == 2 && out_step == 1)
            move_run(to, from, type, g, forward, 1, 2, 1);
        else if (run == 8)
            move_run(to, from, type, g, forward, 8, in_step, out_step);
        else if (run == 16)
            move_run(to, from, type, g, forward, 16, in_step, out_step);
        else
            move_run(to, from, type, g, forward, run, in_step, out_step);
    }
}

EX_INLINE void move_range(void *out, void *in, ex_map_type type, const shortcut *g, bool forward,
                          size_t begin, size_t end)
{
    const size_t blocks = g->K / g->out_block, plane = g->out_H * g->out_W;
    for (size_t i = begin; i < end; i++) {
        const size_t n = i / blocks, first = i % blocks * g->out_block;
        void *slab = ex_map_at(out, (ptrdiff_t)(i * g->out_block * plane), type);
        if (forward && (first < g->pad || first + g->out_block > g->pad + g->C))
            memset(slab, 0, g->out_block * plane * ex_map_type_bytes(type));
        move_slab(slab, ex_map_at(in, (ptrdiff_t)(n * g->C * g->H * g->W), type), type, g, forward,
                  first);
    }
}

EX_CLONES static void forward_range(void *out, void *in, ex_map_type type, const shortcut *g,
                                    size_t begin, size_t end)
{
    EX_TYPED(type, T, move_range(out, in, T, g, true, begin, end));
}

EX_CLONES static void backward_range(void *dout, void *din, ex_map_type type, const shortcut *g,
                                     size_t begin, size_t end)
{
    EX_TYPED(type, T, move_range(dout, din, T, g, false, begin, end));
}

/* The walk takes both sides as writable; each direction writes only its own. */
void ex_shortcut_a_fwd_host(void *out, const void *in, const ex_map_shape *in_shape, int K,
                            int out_block, int stride, ex_stream s)
{
    const shortcut g = shortcut_of(in_shape, K, out_block, stride);
    const size_t slabs = (size_t)in_shape->N * (g.K / g.out_block);
    EX_SHARE(slabs, slabs * g.out_block * g.out_H * g.out_W, s,
             forward_range(out, (void *)in, in_shape->type, &g, begin, end));
}

void ex_shortcut_a_bwd_host(void *din, const void *dout, const ex_map_shape *in_shape, int K,
                            int out_block, int stride, ex_stream s)
{
    const shortcut g = shortcut_of(in_shape, K, out_block, stride);
    const size_t slabs = (size_t)in_shape->N * (g.K / g.out_block);
    EX_SHARE(slabs, slabs * g.out_block * g.out_H * g.out_W, s,
             backward_range((void *)dout, din, in_shape->type, &g, begin, end));
}
