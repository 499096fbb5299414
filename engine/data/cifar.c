/* CIFAR, binary versions: records of one label byte (CIFAR-10) or two (CIFAR-100: coarse, fine),
 * then 3 x 32 x 32 bytes, planes R, G, B. */
#include "base/memory.h"
#include "data/dataset.h"
#include "data/input.h"

#include <inttypes.h>
#include <string.h>

enum { SIDE = 32, CHANNELS = 3, IMAGE = CHANNELS * SIDE * SIDE };

typedef struct layout {
    int classes;
    size_t label;   /* bytes before the image; the last of them is the label that counts */
    size_t records; /* of one file, at most */
} layout;

static const layout cifar10 = {.classes = 10, .label = 1, .records = 10000};
static const layout cifar100 = {.classes = 100, .label = 2, .records = 50000};

static size_t record_bytes(const layout *l)
{
    return l->label + IMAGE;
}

/* Makes room for `more` samples at the end of the arrays. */
static ex_status grow(ex_dataset *d, size_t more)
{
    uint8_t *images = NULL;
    uint16_t *labels = NULL;
    EX_TRY(ex_alloc(&images, d->count + more, IMAGE, "CIFAR images"));
    const ex_status status = ex_alloc(&labels, d->count + more, sizeof *labels, "CIFAR labels");
    if (status != EX_OK) {
        ex_free(&images);
        return status;
    }
    if (d->count) {
        memcpy(images, d->images, d->count * IMAGE);
        memcpy(labels, d->labels, d->count * sizeof *labels);
    }
    ex_free(&d->images);
    ex_free(&d->labels);
    d->images = images;
    d->labels = labels;
    return EX_OK;
}

static ex_status append_records(ex_dataset *d, const layout *l, const uint8_t *records,
                                size_t count, const char *path)
{
    EX_TRY(grow(d, count));
    for (size_t i = 0; i < count; i++) {
        const uint8_t *image = records + i * record_bytes(l) + l->label;
        if (image[-1] >= l->classes)
            return EX_FAIL(EX_ERR_INPUT, "%s: label of record %zu is %u; 0 to %d are expected",
                           path, i, image[-1], l->classes - 1);
        d->labels[d->count + i] = image[-1];
        memcpy(d->images + (d->count + i) * IMAGE, image, IMAGE);
    }
    d->count += count;
    return EX_OK;
}

static ex_status read_file(ex_dataset *d, const layout *l, const char *path)
{
    ex_status status;
    ex_input *in;
    uint8_t *records = NULL;
    uint64_t got;
    const uint64_t record = record_bytes(l);
    EX_TRY(ex_input_open(&in, path));
    EX_TRY_GOTO(ex_input_take(in, &records, l->records * record, &got), done);
    EX_TRY_GOTO(ex_input_end(in), done);
    if (got == 0 || got % record != 0) {
        status = EX_FAIL(EX_ERR_INPUT,
                         "%s is truncated: %" PRIu64
                         " bytes are no whole number (1 to %zu) of records of %" PRIu64 " bytes",
                         path, got, l->records, record);
        goto done;
    }
    status = append_records(d, l, records, got / record, path);
done:
    ex_free(&records);
    ex_input_close(&in);
    return status;
}

static ex_status read_files(ex_dataset *d, const layout *l, const char *const *paths, int count)
{
    ex_status status = EX_OK;
    d->classes = l->classes;
    d->channels = CHANNELS;
    d->height = d->width = SIDE;
    d->count = 0;
    for (int i = 0; i < count && status == EX_OK; i++)
        status = read_file(d, l, paths[i]);
    if (status != EX_OK)
        ex_dataset_close(d);
    return status;
}

ex_status ex_cifar10_read(ex_dataset *dataset, const char *const *paths, int path_count)
{
    return read_files(dataset, &cifar10, paths, path_count);
}

ex_status ex_cifar100_read(ex_dataset *dataset, const char *path)
{
    return read_files(dataset, &cifar100, &path, 1);
}
