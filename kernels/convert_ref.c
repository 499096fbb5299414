/* Reference of conversion: the nearest bf16 is found among its two neighbours, in float64. */
#include "reference.h"

#include <math.h>
#include <string.h>

static float widened(uint16_t bits)
{
    const uint32_t word = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

static uint16_t nearest(float value)
{
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    const uint16_t low = (uint16_t)(word >> 16); /* towards 0 */
    if (isnan(value))
        return (uint16_t)(low | 0x40);
    if (isinf(value))
        return low;
    const uint16_t high = (uint16_t)(low + 1); /* away from 0; the infinity lies at 2^128 */
    const double to =
        isinf(widened(high)) ? copysign(0x1p128, (double)value) : (double)widened(high);
    const double below = fabs((double)value - (double)widened(low)),
                 above = fabs(to - (double)value);
    if (below != above)
        return below < above ? low : high;
    return low % 2 ? high : low;
}

void ex_convert_ref(void *out, ex_map_type out_type, const void *in, ex_map_type in_type, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float value =
            in_type == EX_MAP_BF16 ? widened(((const uint16_t *)in)[i]) : ((const float *)in)[i];
        if (out_type == EX_MAP_BF16)
            ((uint16_t *)out)[i] = nearest(value);
        else
            ((float *)out)[i] = value;
    }
}
