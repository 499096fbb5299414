/* IDX, the format of MNIST: a big-endian header (two zero bytes, type, number of axes, a 32-bit
 * size for each axis), then the values. */
#include "base/memory.h"
#include "data/dataset.h"
#include "data/input.h"

#include <inttypes.h>

enum { TYPE_BYTE = 0x08, IMAGE_AXES = 3, LABEL_AXES = 1, SIDE_MAX = 4096 };

static ex_status read_header(ex_input *in, const char *path, int axes, uint32_t *sizes)
{
    unsigned char magic[4], size[4];
    EX_TRY(ex_input_read(in, magic, sizeof magic, "the IDX header"));
    if (magic[0] || magic[1] || magic[2] != TYPE_BYTE || magic[3] != axes)
        return EX_FAIL(EX_ERR_INPUT,
                       "%s is no IDX file of bytes with %d axes: it starts with %02x %02x %02x "
                       "%02x, not 00 00 08 %02x",
                       path, axes, magic[0], magic[1], magic[2], magic[3], axes);
    for (int i = 0; i < axes; i++) {
        EX_TRY(ex_input_read(in, size, sizeof size, "the IDX header"));
        sizes[i] = (uint32_t)size[0] << 24 | (uint32_t)size[1] << 16 | (uint32_t)size[2] << 8 |
                   (uint32_t)size[3];
    }
    if (sizes[0] == 0)
        return EX_FAIL(EX_ERR_INPUT, "%s holds no entries", path);
    return EX_OK;
}

static ex_status read_images(ex_dataset *d, ex_input *in, const char *path)
{
    uint32_t sizes[IMAGE_AXES];
    EX_TRY(read_header(in, path, IMAGE_AXES, sizes));
    if (sizes[1] < 1 || sizes[1] > SIDE_MAX || sizes[2] < 1 || sizes[2] > SIDE_MAX)
        return EX_FAIL(EX_ERR_INPUT, "%s holds images of %u x %u; 1 to %d a side are expected",
                       path, sizes[1], sizes[2], SIDE_MAX);
    uint64_t got;
    const uint64_t bytes = (uint64_t)sizes[0] * sizes[1] * sizes[2];
    if (bytes > ex_input_most(in))
        return EX_FAIL(EX_ERR_INPUT, "%s is truncated: its header tells %u images of %u x %u", path,
                       sizes[0], sizes[1], sizes[2]);
    EX_TRY(ex_input_take(in, &d->images, bytes, &got));
    if (got < bytes)
        return EX_FAIL(EX_ERR_INPUT,
                       "%s is truncated: the images need %" PRIu64 " bytes, %" PRIu64 " are there",
                       path, bytes, got);
    EX_TRY(ex_input_end(in));
    d->channels = 1;
    d->count = sizes[0];
    d->height = (int)sizes[1];
    d->width = (int)sizes[2];
    return EX_OK;
}

static ex_status read_labels(ex_dataset *d, ex_input *in, const char *path, const char *image_path)
{
    ex_status status;
    uint32_t count;
    uint8_t *bytes = NULL;
    EX_TRY(read_header(in, path, LABEL_AXES, &count));
    if (count != d->count)
        return EX_FAIL(EX_ERR_INPUT, "%s holds %u labels, but %s holds %zu images", path, count,
                       image_path, d->count);
    EX_TRY(ex_alloc(&d->labels, d->count, sizeof *d->labels, path));
    EX_TRY_GOTO(ex_alloc(&bytes, d->count, 1, path), done);
    EX_TRY_GOTO(ex_input_read(in, bytes, d->count, "the labels"), done);
    EX_TRY_GOTO(ex_input_end(in), done);
    for (size_t i = 0; i < d->count; i++) {
        if (bytes[i] >= d->classes) {
            status = EX_FAIL(EX_ERR_INPUT, "%s: label %zu is %u; 0 to %d are expected", path, i,
                             bytes[i], d->classes - 1);
            break;
        }
        d->labels[i] = bytes[i];
    }
done:
    ex_free(&bytes);
    return status;
}

ex_status ex_idx_read(ex_dataset *dataset, const char *image_path, const char *label_path)
{
    ex_status status;
    ex_input *images = NULL, *labels = NULL;
    EX_TRY_GOTO(ex_input_open(&images, image_path), done);
    EX_TRY_GOTO(ex_input_open(&labels, label_path), done);
    EX_TRY_GOTO(read_images(dataset, images, image_path), done);
    EX_TRY_GOTO(read_labels(dataset, labels, label_path, image_path), done);
done:
    ex_input_close(&images);
    ex_input_close(&labels);
    if (status != EX_OK)
        ex_dataset_close(dataset);
    return status;
}
