/* Values of maps of either type, for host loops. `type` is a constant wherever they are inlined
 * (EX_TYPED), so that a loop is compiled for each type and float32's is what it would be alone. */
#ifndef EX_KERNELS_MAP_H
#define EX_KERNELS_MAP_H

#include "bf16.h"
#include "host.h"

/* Runs `call`, which names the map's type as the constant `constant`. */
#define EX_TYPED(type, constant, call)                                                             \
    do {                                                                                           \
        if ((type) == EX_MAP_BF16) {                                                               \
            const ex_map_type constant = EX_MAP_BF16;                                              \
            call;                                                                                  \
        } else {                                                                                   \
            const ex_map_type constant = EX_MAP_F32;                                               \
            call;                                                                                  \
        }                                                                                          \
    } while (0)

/* Where value i lies; a NULL map stays NULL. i may be negative. */
EX_INLINE void *ex_map_at(void *map, ptrdiff_t i, ex_map_type type)
{
    return map ? (char *)map + i * (ptrdiff_t)ex_map_type_bytes(type) : NULL;
}

EX_INLINE const void *ex_map_in(const void *map, ptrdiff_t i, ex_map_type type)
{
    return map ? (const char *)map + i * (ptrdiff_t)ex_map_type_bytes(type) : NULL;
}

EX_INLINE float ex_map_get(const void *map, size_t i, ex_map_type type)
{
    return type == EX_MAP_BF16 ? ex_bf16_value_body(((const uint16_t *)map)[i])
                               : ((const float *)map)[i];
}

EX_INLINE void ex_map_put(void *map, size_t i, float value, ex_map_type type)
{
    if (type == EX_MAP_BF16)
        ((uint16_t *)map)[i] = ex_bf16_bits_body(value);
    else
        ((float *)map)[i] = value;
}

#endif
