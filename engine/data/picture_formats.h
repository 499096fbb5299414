/* The decoders behind picture.h, one file each. rgb (height, width, 3) is allocated by them and
 * freed by the caller with ex_free, also after an error. Sizes are checked before. */
#ifndef EX_PICTURE_FORMATS_H
#define EX_PICTURE_FORMATS_H

#include "data/picture.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ex_rgb {
    int height, width;
    uint8_t *pixels;
} ex_rgb;

/* Room for height x width pixels, 1 to EX_PICTURE_SIDE_MAX each. */
ex_status ex_rgb_alloc(ex_rgb *out, size_t height, size_t width, const char *path);
ex_status ex_png_decode(ex_rgb *out, const void *bytes, size_t count, const char *path);
ex_status ex_jpeg_decode(ex_rgb *out, const void *bytes, size_t count, const char *path);

#endif
