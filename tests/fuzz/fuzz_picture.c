/* PNG and JPEG files. What is read has the size and channels that were asked for, lies between its
 * colours as grey, and comes back from being written as a PNG file by fuzz.c. */
#include "fuzz.h"

#include "base/memory.h"
#include "data/picture.h"

#include <string.h>

/* Two copies of the largest picture, and what libjpeg holds of a progressive one. */
static const size_t MEMORY_MAX = (size_t)EX_PICTURE_SIDE_MAX * EX_PICTURE_SIDE_MAX * 16;

/* Larger ones are read, not looked at. */
enum { SMALL = 1 << 16 /* pixels */ };

static ex_status read_picture(ex_picture *out, const char *path, bool grey)
{
    fuzz_memory_begin(MEMORY_MAX);
    const ex_status status = ex_picture_read(out, path, grey);
    fuzz_memory_end();
    /* A build may lack a format. */
    fuzz_check_status(status, status == EX_ERR_UNSUPPORTED ? status : EX_ERR_INPUT);
    FUZZ_CHECK((status == EX_OK) == (out->pixels != NULL), "%p", (void *)out->pixels);
    if (status != EX_OK)
        return status;
    FUZZ_CHECK(out->channels == (grey ? 1 : 3), "%d channels", out->channels);
    FUZZ_CHECK(out->height >= 1 && out->height <= EX_PICTURE_SIDE_MAX, "height %d", out->height);
    FUZZ_CHECK(out->width >= 1 && out->width <= EX_PICTURE_SIDE_MAX, "width %d", out->width);
    return status;
}

static size_t pixels_of(const ex_picture *p)
{
    return (size_t)p->height * (size_t)p->width;
}

static void check_grey(const ex_picture *colour, const char *path)
{
    ex_picture grey;
    const size_t n = pixels_of(colour);
    FUZZ_OK(read_picture(&grey, path, true));
    FUZZ_CHECK(grey.height == colour->height && grey.width == colour->width, "another size");
    for (size_t i = 0; i < n; i++) {
        uint8_t low = 255, high = 0;
        for (size_t c = 0; c < 3; c++) {
            const uint8_t v = colour->pixels[c * n + i];
            low = v < low ? v : low;
            high = v > high ? v : high;
        }
        FUZZ_CHECK(grey.pixels[i] >= low && grey.pixels[i] <= high, "pixel %zu", i);
    }
    ex_free(&grey.pixels);
}

static void check_round_trip(const ex_picture *p)
{
    ex_picture again;
    const char *copy = fuzz_write_png("again", p->pixels, p->height, p->width);
    if (read_picture(&again, copy, false) != EX_OK)
        return; /* a build without libpng read a JPEG file */
    FUZZ_CHECK(again.height == p->height && again.width == p->width, "another size");
    FUZZ_CHECK(memcmp(again.pixels, p->pixels, 3 * pixels_of(p)) == 0, "other pixels");
    ex_free(&again.pixels);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ex_picture p;
    const char *path = fuzz_write("in", data, size);
    if (read_picture(&p, path, false) != EX_OK)
        return 0;
    if (pixels_of(&p) <= SMALL) {
        check_grey(&p, path);
        check_round_trip(&p);
    }
    ex_free(&p.pixels);
    return 0;
}
