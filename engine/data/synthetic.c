#include "data/synthetic.h"

#include "base/memory.h"
#include "base/rng.h"

#include <math.h>

enum { CLASSES = 10, CHANNELS = 3, SIDE = 16, WAVES = 3, SHIFT_MAX = 2, TEMPLATES = 2 };

static const double PI = 3.14159265358979323846;

/* A few waves of low frequency for each channel, in -1..1 or so. out (CHANNELS, SIDE, SIDE). */
static void make_template(float *out, uint32_t label)
{
    ex_rng r = ex_rng_at((ex_rng_key){.use = EX_RNG_SYNTHETIC, .client = TEMPLATES, .step = label});
    for (int c = 0; c < CHANNELS; c++) {
        double fx[WAVES], fy[WAVES], phase[WAVES];
        for (int w = 0; w < WAVES; w++) {
            fx[w] = (double)ex_rng_below(&r, 5) - 2.0; /* whole periods: shifts wrap smoothly */
            fy[w] = (double)ex_rng_below(&r, 3);
            phase[w] = (double)ex_rng_uniform(&r);
        }
        for (int p = 0; p < SIDE * SIDE; p++) {
            const double x = (double)(p % SIDE) / SIDE, y = (double)(p / SIDE) / SIDE;
            double sum = 0.0;
            for (int w = 0; w < WAVES; w++)
                sum += cos(2.0 * PI * (fx[w] * x + fy[w] * y + phase[w]));
            out[c * SIDE * SIDE + p] = (float)(sum / WAVES);
        }
    }
}

static void make_sample(uint8_t *image, const float *pattern, ex_rng *r)
{
    const int shift_x = (int)ex_rng_below(r, 2 * SHIFT_MAX + 1) + SIDE - SHIFT_MAX;
    const int shift_y = (int)ex_rng_below(r, 2 * SHIFT_MAX + 1) + SIDE - SHIFT_MAX;
    const double contrast = 50.0 + 50.0 * (double)ex_rng_uniform(r), noise = 20.0;
    for (int c = 0; c < CHANNELS; c++) {
        for (int y = 0; y < SIDE; y++) {
            for (int x = 0; x < SIDE; x++) {
                const int from = (y + shift_y) % SIDE * SIDE + (x + shift_x) % SIDE;
                const double value = 128.0 + noise * ex_rng_normal(r) +
                                     contrast * (double)pattern[c * SIDE * SIDE + from];
                *image++ = (uint8_t)fmin(fmax(rint(value), 0.0), 255.0);
            }
        }
    }
}

ex_status ex_synthetic_make(ex_dataset *dataset, size_t count, uint32_t part)
{
    ex_status status;
    float *patterns = NULL;
    const size_t image = CHANNELS * SIDE * SIDE;
    dataset->classes = CLASSES;
    dataset->channels = CHANNELS;
    dataset->height = dataset->width = SIDE;
    dataset->count = count;
    EX_TRY_GOTO(ex_alloc(&patterns, CLASSES * image, sizeof *patterns, "patterns"), done);
    EX_TRY_GOTO(ex_alloc(&dataset->images, count, image, "synthetic images"), done);
    EX_TRY_GOTO(ex_alloc(&dataset->labels, count, sizeof *dataset->labels, "synthetic labels"),
                done);
    for (uint32_t label = 0; label < CLASSES; label++)
        make_template(patterns + label * image, label);
    for (size_t i = 0; i < count; i++) {
        const uint16_t label = (uint16_t)(i % CLASSES);
        ex_rng r =
            ex_rng_at((ex_rng_key){.use = EX_RNG_SYNTHETIC, .client = part, .step = (uint32_t)i});
        make_sample(dataset->images + i * image, patterns + label * image, &r);
        dataset->labels[i] = label;
    }
done:
    ex_free(&patterns);
    if (status != EX_OK)
        ex_dataset_close(dataset);
    return status;
}
