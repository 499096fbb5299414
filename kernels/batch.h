/* Element of batch_gather, shared by host and CUDA. */
#ifndef EX_KERNELS_BATCH_H
#define EX_KERNELS_BATCH_H

#include "device.h"

#include <stdint.h>

/* A stored byte, normalised: two float operations, in this order. */
EX_BODY float ex_pixel_body(uint8_t byte, float scale, float shift)
{
    return (float)byte * scale + shift;
}

#endif
