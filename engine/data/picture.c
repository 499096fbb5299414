#include "data/picture.h"

#include "base/memory.h"
#include "data/picture_formats.h"
#include "io/file.h"

#include <string.h>
#include <strings.h>

enum { FILE_MAX = 64 << 20 /* bytes */ };

bool ex_picture_named(const char *name)
{
    static const char *const endings[] = {".png", ".jpg", ".jpeg"};
    const size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t tail = strlen(endings[i]);
        if (length > tail && strcasecmp(name + length - tail, endings[i]) == 0)
            return true;
    }
    return false;
}

ex_status ex_rgb_alloc(ex_rgb *out, size_t height, size_t width, const char *path)
{
    if (height < 1 || height > EX_PICTURE_SIDE_MAX || width < 1 || width > EX_PICTURE_SIDE_MAX)
        return EX_FAIL(EX_ERR_INPUT, "%s is %zu x %zu; 1 to %d pixels a side are possible", path,
                       height, width, EX_PICTURE_SIDE_MAX);
    out->height = (int)height;
    out->width = (int)width;
    return ex_alloc(&out->pixels, height * width, 3, path);
}

/* Told by its first bytes: names lie. */
static ex_status decode(ex_rgb *out, const char *bytes, size_t count, const char *path)
{
    if (count >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0)
        return ex_png_decode(out, bytes, count, path);
    if (count >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0)
        return ex_jpeg_decode(out, bytes, count, path);
    return EX_FAIL(EX_ERR_INPUT, "%s is neither PNG nor JPEG", path);
}

static uint8_t luma(const uint8_t *rgb)
{
    return (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

static ex_status to_planes(ex_picture *out, const ex_rgb *rgb, bool grey, const char *path)
{
    const size_t pixels = (size_t)rgb->height * (size_t)rgb->width;
    *out = (ex_picture){.channels = grey ? 1 : 3, .height = rgb->height, .width = rgb->width};
    EX_TRY(ex_alloc(&out->pixels, pixels, (size_t)out->channels, path));
    for (size_t p = 0; p < pixels; p++)
        for (int c = 0; c < out->channels; c++)
            out->pixels[(size_t)c * pixels + p] =
                grey ? luma(rgb->pixels + 3 * p) : rgb->pixels[3 * p + (size_t)c];
    return EX_OK;
}

ex_status ex_picture_read(ex_picture *out, const char *path, bool grey)
{
    ex_status status;
    char *bytes = NULL;
    size_t count;
    ex_rgb rgb = {0};
    *out = (ex_picture){0};
    EX_TRY_GOTO(ex_file_read(&bytes, &count, path, FILE_MAX), done);
    EX_TRY_GOTO(decode(&rgb, bytes, count, path), done);
    status = to_planes(out, &rgb, grey, path);
done:
    ex_free(&bytes);
    ex_free(&rgb.pixels);
    return status;
}
