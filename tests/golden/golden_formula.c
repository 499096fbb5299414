#include "golden_formula.h"

#include <stdlib.h>

static const uint32_t STEP = 0x9e3779b1u;

static uint32_t mix(uint32_t h)
{
    h ^= h >> 16;
    h *= 0x85ebca6bu;
    h ^= h >> 13;
    h *= 0xc2b2ae35u;
    return h ^ (h >> 16);
}

uint32_t ex_formula_key(const char *name, uint32_t seed)
{
    uint32_t fnv = 0x811c9dc5u;
    for (const unsigned char *p = (const unsigned char *)name; *p; p++)
        fnv = (fnv ^ *p) * 0x01000193u;
    return mix(seed * STEP + fnv);
}

uint32_t ex_formula_word(uint32_t key, uint32_t i)
{
    return mix(key + i * STEP);
}

void ex_formula_values(float *out, const char *name, uint32_t seed, size_t count, float centre,
                       float spread)
{
    const uint32_t key = ex_formula_key(name, seed);
    for (size_t i = 0; i < count; i++) {
        const uint32_t word = ex_formula_word(key, (uint32_t)i);
        const float unit = (float)(word >> 8) * 0x1p-23f - 1.0f;
        out[i] = centre + spread * unit;
    }
}

void ex_formula_images(uint8_t *out, uint32_t seed, int count, int channels, int size)
{
    const uint32_t coarse = ex_formula_key("coarse", seed), fine = ex_formula_key("fine", seed);
    const int cells = (size + 3) / 4;
    uint32_t pixel = 0;
    for (int plane = 0; plane < count * channels; plane++)
        for (int y = 0; y < size; y++)
            for (int x = 0; x < size; x++, pixel++) {
                const uint32_t cell = (uint32_t)((plane * cells + y / 4) * cells + x / 4);
                const uint32_t big = ex_formula_word(coarse, cell) & 255u;
                const uint32_t small = ex_formula_word(fine, pixel) & 255u;
                out[pixel] = (uint8_t)((3u * big + small) >> 2);
            }
}

void ex_formula_labels(uint16_t *label, uint32_t seed, size_t count)
{
    const uint32_t key = ex_formula_key("label", seed);
    for (size_t i = 0; i < count; i++)
        label[i] = (uint16_t)(ex_formula_word(key, (uint32_t)i) % EX_FORMULA_CLASSES);
}

void ex_formula_learnable(uint8_t *out, uint16_t *label, uint32_t seed, int count, int channels,
                          int size)
{
    const size_t image = (size_t)(channels * size * size);
    uint8_t *own = malloc(EX_FORMULA_CLASSES * image);
    if (!own)
        abort();
    ex_formula_images(own, 0, EX_FORMULA_CLASSES, channels, size);
    ex_formula_images(out, seed, count, channels, size);
    ex_formula_labels(label, seed, (size_t)count);
    for (size_t i = 0; i < (size_t)count; i++)
        for (size_t p = 0; p < image; p++)
            out[i * image + p] =
                (uint8_t)((3 * own[label[i] * image + p] + 5 * out[i * image + p]) >> 3);
    free(own);
}

void ex_formula_sample_index(size_t index[EX_FORMULA_SAMPLES], const char *name, size_t size)
{
    const uint32_t key = ex_formula_key(name, 0);
    for (uint32_t i = 0; i < EX_FORMULA_SAMPLES; i++)
        index[i] = ex_formula_word(key, i) % size;
}
