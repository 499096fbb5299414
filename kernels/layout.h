/* Positions in one image of the layouts of kernels.h, for kernels that walk memory and must know
 * where they are. One image has fewer than 2^31 elements, so 32-bit divisions do. */
#ifndef EX_KERNELS_LAYOUT_H
#define EX_KERNELS_LAYOUT_H

#include "device.h"

#include <stdint.h>

typedef struct ex_place {
    uint32_t c, y, x;
} ex_place;

/* Where memory position i of an image with H x W maps in blocks of `block` channels lies. */
EX_BODY ex_place ex_layout_place(uint32_t i, uint32_t H, uint32_t W, uint32_t block)
{
    const uint32_t pixel = i / block, row = pixel / W, slab = row / H;
    const ex_place p = {slab * block + i % block, row % H, pixel % W};
    return p;
}

/* The reverse. */
EX_BODY uint32_t ex_layout_at(ex_place p, uint32_t H, uint32_t W, uint32_t block)
{
    return ((p.c / block * H + p.y) * W + p.x) * block + p.c % block;
}

#endif
