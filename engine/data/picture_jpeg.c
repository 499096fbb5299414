#include "data/picture_formats.h"

#ifdef EXCISE_HAVE_JPEG

#include <stdio.h>

#include <jerror.h>
#include <jpeglib.h>
#include <setjmp.h>

/* Cameras and programs write about ten; of thousands, each over all the picture, a small file keeps
 * a decoder busy for hours. */
enum { SCANS_MAX = 500 };

/* libjpeg ends at an error by calling error_exit, which must not return. */
typedef struct decoder {
    struct jpeg_decompress_struct jpeg; /* first: error_exit is given its address */
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    char text[JMSG_LENGTH_MAX];
} decoder;

static void note(j_common_ptr jpeg)
{
    decoder *d = (decoder *)(void *)jpeg;
    if (!d->text[0]) /* the first one tells most */
        d->errors.format_message(jpeg, d->text);
}

static void leave(j_common_ptr jpeg)
{
    note(jpeg);
    longjmp(((decoder *)(void *)jpeg)->failed, 1);
}

/* Warnings are of damaged data, which libjpeg would fill with grey. */
static void warn(j_common_ptr jpeg, int level)
{
    if (level < 0)
        leave(jpeg);
}

/* Called for every row of blocks that is decoded. */
static void count_scans(j_common_ptr jpeg)
{
    decoder *d = (decoder *)(void *)jpeg;
    if (d->jpeg.input_scan_number <= SCANS_MAX)
        return;
    snprintf(d->text, sizeof d->text, "it has more than %d scans", SCANS_MAX);
    longjmp(d->failed, 1);
}

static void read_lines(decoder *d, ex_rgb *out)
{
    jpeg_start_decompress(&d->jpeg);
    while (d->jpeg.output_scanline < d->jpeg.output_height) {
        JSAMPROW row = out->pixels + (size_t)d->jpeg.output_scanline * (size_t)out->width * 3;
        jpeg_read_scanlines(&d->jpeg, &row, 1);
    }
    jpeg_finish_decompress(&d->jpeg);
}

static ex_status failure(const decoder *d, const char *path)
{
    if (d->errors.msg_code == JERR_OUT_OF_MEMORY)
        return EX_FAIL(EX_ERR_MEMORY, "%s: libjpeg has no memory to read it", path);
    return EX_FAIL(EX_ERR_INPUT, "%s is a damaged or unusual JPEG file: %s", path, d->text);
}

static ex_status decode(decoder *d, ex_rgb *out, const void *bytes, size_t count, const char *path)
{
    if (setjmp(d->failed))
        return failure(d, path);
    jpeg_create_decompress(&d->jpeg);
    d->progress.progress_monitor = count_scans;
    d->jpeg.progress = &d->progress;
    jpeg_mem_src(&d->jpeg, bytes, (unsigned long)count);
    jpeg_read_header(&d->jpeg, TRUE);
    EX_TRY(ex_rgb_alloc(out, d->jpeg.image_height, d->jpeg.image_width, path));
    d->jpeg.out_color_space = JCS_RGB;
    d->jpeg.dct_method = JDCT_ISLOW;
    read_lines(d, out);
    return EX_OK;
}

ex_status ex_jpeg_decode(ex_rgb *out, const void *bytes, size_t count, const char *path)
{
    decoder d = {0};
    d.jpeg.err = jpeg_std_error(&d.errors);
    d.errors.error_exit = leave;
    d.errors.emit_message = warn;
    d.errors.output_message = note;
    const ex_status status = decode(&d, out, bytes, count, path);
    jpeg_destroy_decompress(&d.jpeg);
    return status;
}

#define QUOTE(text)  #text
#define QUOTED(name) QUOTE(name)

const char *ex_jpeg_version(void)
{
#ifdef LIBJPEG_TURBO_VERSION
    return "turbo " QUOTED(LIBJPEG_TURBO_VERSION);
#else
    return QUOTED(JPEG_LIB_VERSION);
#endif
}

#else

const char *ex_jpeg_version(void)
{
    return NULL;
}

ex_status ex_jpeg_decode(ex_rgb *out, const void *bytes, size_t count, const char *path)
{
    (void)out, (void)bytes, (void)count;
    return EX_FAIL(EX_ERR_UNSUPPORTED,
                   "%s is a JPEG file, and excise was built without libjpeg; install libjpeg-dev "
                   "and build again",
                   path);
}

#endif
