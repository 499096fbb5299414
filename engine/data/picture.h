/* A PNG or JPEG file as bytes. Each format is optional in the build (libpng, libjpeg-turbo); a file
 * of one that is missing is EX_ERR_UNSUPPORTED with what to install. */
#ifndef EX_PICTURE_H
#define EX_PICTURE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { EX_PICTURE_SIDE_MAX = 4096 };

typedef struct ex_picture {
    int channels, height, width;
    uint8_t *pixels; /* (channels, height, width); freed by ex_free */
} ex_picture;

/* Versions of the libraries, as loaded and as compiled against; NULL where the build lacks one. */
const char *ex_png_version(void);
const char *ex_jpeg_version(void);
/* Whether the name ends like a picture's: .png, .jpg or .jpeg, in any case. */
bool ex_picture_named(const char *name);
/* grey: one channel, by the luma of ITU-R 601; else three, R, G, B. What is transparent lies on
 * black. EX_ERR_INPUT naming the file if it is damaged, no picture or too large. */
ex_status ex_picture_read(ex_picture *out, const char *path, bool grey);

#endif
