/* Values that golden files do not store; formula.py is the same in Python and says how. */
#ifndef EX_GOLDEN_FORMULA_H
#define EX_GOLDEN_FORMULA_H

#include <stddef.h>
#include <stdint.h>

enum { EX_FORMULA_CLASSES = 10, EX_FORMULA_SAMPLES = 64 };

uint32_t ex_formula_key(const char *name, uint32_t seed);
uint32_t ex_formula_word(uint32_t key, uint32_t i);
/* centre + spread * u for u in [-1, 1), (count). */
void ex_formula_values(float *out, const char *name, uint32_t seed, size_t count, float centre,
                       float spread);
/* Bytes (count, channels, size, size). */
void ex_formula_images(uint8_t *out, uint32_t seed, int count, int channels, int size);
/* label (count). */
void ex_formula_labels(uint16_t *label, uint32_t seed, size_t count);
/* A task that can be learnt: images with their labels. */
void ex_formula_learnable(uint8_t *out, uint16_t *label, uint32_t seed, int count, int channels,
                          int size);
/* Which elements of a tensor of `size` a summary holds. */
void ex_formula_sample_index(size_t index[EX_FORMULA_SAMPLES], const char *name, size_t size);

#endif
