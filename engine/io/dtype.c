#include "io/dtype.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian, as the host");

typedef float (*convert_fn)(const unsigned char *p);

static float f32_to_float(const unsigned char *p)
{
    float x;
    memcpy(&x, p, sizeof x);
    return x;
}

static float bits_to_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float bf16_to_float(const unsigned char *p)
{
    uint16_t half;
    memcpy(&half, p, sizeof half);
    return bits_to_float((uint32_t)half << 16);
}

static float f16_to_float(const unsigned char *p)
{
    uint16_t half;
    memcpy(&half, p, sizeof half);
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31;
    const uint32_t fraction = half & 1023;
    if (exponent == 31) /* infinity or NaN */
        return bits_to_float(sign | 0x7f800000 | fraction << 13);
    if (exponent == 0) { /* zero or subnormal: units of 2^-24 */
        const float value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    return bits_to_float(sign | (exponent + 127 - 15) << 23 | fraction << 13);
}

static float f64_to_float(const unsigned char *p)
{
    double x;
    memcpy(&x, p, sizeof x);
    return fabs(x) <= (double)0x1.fffffep127f || isnan(x) ? (float)x : (float)copysign(INFINITY, x);
}

static float i64_to_float(const unsigned char *p)
{
    int64_t x;
    memcpy(&x, p, sizeof x);
    return (float)x;
}

static const struct {
    const char *name;
    size_t bytes;
    convert_fn convert;
} types[] = {
#define X(suffix, name, bytes, convert) {name, bytes, convert},
    EX_DTYPE_LIST(X)
#undef X
};

const char *ex_dtype_name(ex_dtype t)
{
    return types[t].name;
}

size_t ex_dtype_bytes(ex_dtype t)
{
    return types[t].bytes;
}

ex_dtype ex_dtype_find(const char *name)
{
    int t = 0;
    while (t < EX_DTYPE_COUNT && strcmp(types[t].name, name) != 0)
        t++;
    return (ex_dtype)t;
}

int ex_dtype_to_float(float *out, const void *in, size_t count, ex_dtype t)
{
    const unsigned char *p = in;
    if (!types[t].convert)
        return 0;
    if (t == EX_DTYPE_F32) {
        memcpy(out, in, count * sizeof *out);
        return 1;
    }
    for (size_t i = 0; i < count; i++)
        out[i] = types[t].convert(p + i * types[t].bytes);
    return 1;
}
