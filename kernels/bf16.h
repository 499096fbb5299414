/* bf16 as bits, shared by host and CUDA: the upper half of a float32. */
#ifndef EX_KERNELS_BF16_H
#define EX_KERNELS_BF16_H

#include "device.h"

#include <stdint.h>
#include <string.h>

EX_BODY float ex_bf16_value_body(uint16_t bits)
{
    const uint32_t word = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

/* To nearest, ties to even; a NaN stays one. */
EX_BODY uint16_t ex_bf16_bits_body(float value)
{
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    const uint32_t rounded = (word + 0x7fffu + ((word >> 16) & 1u)) >> 16;
    const uint32_t quiet = (word >> 16) | 0x40u;
    return (uint16_t)((word & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

#endif
