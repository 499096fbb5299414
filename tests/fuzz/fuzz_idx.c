/* A pair of IDX files. Input: a byte of flags (bit 0: gzip the images, bit 1: gzip the labels, bit
 * 2: cut the last bytes of what was gzipped), the images' length as two little-endian bytes, then
 * the images' file and the labels' file. Without flags the bytes are the files, gzip or not. */
#include "fuzz.h"

#include "data/dataset.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { GZIP_IMAGES = 1, GZIP_LABELS = 2, CUT = 4, HEADER = 3, CUT_BYTES = 5 };
enum { CLASSES = 10 };

static const char *write_gzip(const char *name, const uint8_t *data, size_t size, int cut)
{
    z_stream z = {0};
    const size_t room = size + size / 8 + 128;
    uint8_t *out = malloc(room);
    FUZZ_CHECK(out && deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, 0) == Z_OK, "zlib");
    z.next_in = (Bytef *)data;
    z.avail_in = (uInt)size;
    z.next_out = out;
    z.avail_out = (uInt)room;
    FUZZ_CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END, "zlib");
    const char *path = fuzz_write(name, out, z.total_out - (cut ? CUT_BYTES : 0));
    deflateEnd(&z);
    free(out);
    return path;
}

/* What is read must be what the plain files say, byte for byte. */
static void check_dataset(const ex_dataset *d, const uint8_t *images, size_t image_bytes,
                          const uint8_t *labels, size_t label_bytes)
{
    const size_t bytes = d->count * (size_t)d->height * (size_t)d->width;
    FUZZ_CHECK(d->count > 0 && d->channels == 1 && d->height > 0 && d->width > 0, "sizes");
    FUZZ_CHECK(image_bytes == 16 + bytes && memcmp(images + 16, d->images, bytes) == 0, "images");
    FUZZ_CHECK(label_bytes == 8 + d->count, "%zu labels", d->count);
    for (size_t i = 0; i < d->count; i++)
        FUZZ_CHECK(d->labels[i] == labels[8 + i] && d->labels[i] < CLASSES, "label %zu", i);
}

static int is_gzip(const uint8_t *data, size_t size)
{
    return size >= 2 && data[0] == 0x1f && data[1] == 0x8b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEADER)
        return 0;
    const int flags = data[0];
    const size_t told = (size_t)data[1] | (size_t)data[2] << 8;
    const uint8_t *images = data + HEADER;
    const size_t image_bytes = told < size - HEADER ? told : size - HEADER;
    const uint8_t *labels = images + image_bytes;
    const size_t label_bytes = size - HEADER - image_bytes;
    const int cut = flags & CUT;
    const char *image_path = flags & GZIP_IMAGES ? write_gzip("images", images, image_bytes, cut)
                                                 : fuzz_write("images", images, image_bytes);
    const char *label_path = flags & GZIP_LABELS ? write_gzip("labels", labels, label_bytes, cut)
                                                 : fuzz_write("labels", labels, label_bytes);
    const int packed = is_gzip(images, image_bytes) || is_gzip(labels, label_bytes) ||
                       flags & (GZIP_IMAGES | GZIP_LABELS);

    ex_dataset d = {.classes = CLASSES};
    /* zlib's own buffers, and twice what the densest stream unpacks to. */
    fuzz_memory_begin(((size_t)1 << 20) + size * (packed ? 2100 : 8));
    const ex_status status = ex_idx_read(&d, image_path, label_path);
    fuzz_memory_end();
    fuzz_check_status(status, EX_ERR_INPUT);
    if (status == EX_OK && !is_gzip(images, image_bytes) && !is_gzip(labels, label_bytes)) {
        FUZZ_CHECK(!(cut && flags & (GZIP_IMAGES | GZIP_LABELS)), "a cut stream was taken");
        check_dataset(&d, images, image_bytes, labels, label_bytes);
    }
    FUZZ_CHECK(status == EX_OK || (!d.images && !d.labels), "something is left allocated");
    ex_dataset_close(&d);
    return 0;
}
