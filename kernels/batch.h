/* Elements of batch_gather, shared by host and CUDA. */
#ifndef EX_KERNELS_BATCH_H
#define EX_KERNELS_BATCH_H

#include "philox.h"

#include <stdint.h>

/* A stored byte, normalised: two float operations, in this order. */
EX_BODY float ex_pixel_body(uint8_t byte, float scale, float shift)
{
    return (float)byte * scale + shift;
}

/* Where one image of a batch lies in its output map. */
typedef struct ex_view {
    int top, left, mirrored;
    int hole, hole_top, hole_left; /* square of `hole` pixels that is 0; may reach beyond */
} ex_view;

/* Uniform in [0, n), but for a bias of n / 2^32 that nobody can measure. */
EX_BODY int ex_below_body(uint32_t word, int n)
{
    return (int)(((uint64_t)word * (uint32_t)n) >> 32);
}

/* (top, left): where the image lies unmoved. */
EX_BODY ex_view ex_view_body(const ex_augment *a, uint32_t n, int top, int left, int out_H,
                             int out_W)
{
    const ex_words w = ex_philox_body(&a->draws, n);
    ex_view v;
    v.top = top + ex_below_body(w.v[0], 2 * a->crop + 1) - a->crop;
    v.left = left + ex_below_body(w.v[1], 2 * a->crop + 1) - a->crop;
    v.mirrored = a->flip && w.v[2] >> 31;
    v.hole = a->cutout;
    v.hole_top = ex_below_body(w.v[2] << 1, out_H) - a->cutout / 2;
    v.hole_left = ex_below_body(w.v[3], out_W) - a->cutout / 2;
    return v;
}

/* Whether the square that was cut out holds the pixel. */
EX_BODY int ex_hole_body(const ex_view *v, int y, int x)
{
    return y >= v->hole_top && y - v->hole_top < v->hole && x >= v->hole_left &&
           x - v->hole_left < v->hole;
}

#endif
