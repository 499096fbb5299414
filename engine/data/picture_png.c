#include "data/picture_formats.h"

#ifdef EXCISE_HAVE_PNG

#include <png.h>
#include <string.h>

static ex_status damaged(const png_image *image, const char *path)
{
    if (strcasestr(image->message, "memory")) /* of errors, libpng gives the text alone */
        return EX_FAIL(EX_ERR_MEMORY, "%s: libpng has no memory to read it", path);
    return EX_FAIL(EX_ERR_INPUT, "%s is a damaged PNG file: %s", path, image->message);
}

ex_status ex_png_decode(ex_rgb *out, const void *bytes, size_t count, const char *path)
{
    ex_status status;
    const png_color black = {0, 0, 0};
    png_image image = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_memory(&image, bytes, count))
        return damaged(&image, path);
    EX_TRY_GOTO(ex_rgb_alloc(out, image.height, image.width, path), done);
    image.format = PNG_FORMAT_RGB;
    if (!png_image_finish_read(&image, &black, out->pixels, 0, NULL))
        status = damaged(&image, path);
done:
    png_image_free(&image);
    return status;
}

const char *ex_png_version(void)
{
    return png_get_libpng_ver(NULL);
}

#else

const char *ex_png_version(void)
{
    return NULL;
}

ex_status ex_png_decode(ex_rgb *out, const void *bytes, size_t count, const char *path)
{
    (void)out, (void)bytes, (void)count;
    return EX_FAIL(EX_ERR_UNSUPPORTED,
                   "%s is a PNG file, and excise was built without libpng; install libpng-dev and "
                   "build again",
                   path);
}

#endif
