/* Element of flatten, shared by host and CUDA. */
#ifndef EX_KERNELS_FLATTEN_H
#define EX_KERNELS_FLATTEN_H

#include "philox.h"

/* Dropped where the word, as a number in [0, 1) of 24 bits, is below the rate. */
EX_BODY float ex_dropout_body(float value, uint32_t word, float rate, float scale)
{
    return (float)(word >> 8) * 0x1p-24f < rate ? 0.0f : value * scale;
}

/* What is kept grows, so that the expected sum stays. */
EX_BODY float ex_dropout_scale(float rate)
{
    return 1.0f / (1.0f - rate);
}

#endif
