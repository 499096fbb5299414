/* CIFAR-10, binary version: records of one label byte and 3 x 32 x 32 bytes, planes R, G, B. */
#include "base/memory.h"
#include "data/dataset.h"
#include "data/input.h"

#include <inttypes.h>
#include <string.h>

enum {
    SIDE = 32,
    CHANNELS = 3,
    CLASSES = 10,
    IMAGE = CHANNELS * SIDE * SIDE,
    RECORD = 1 + IMAGE,
    RECORDS_MAX = 10000, /* of one file */
};

/* Makes room for `more` samples at the end of the arrays. */
static ex_status grow(ex_dataset *d, size_t more)
{
    uint8_t *images = NULL;
    uint16_t *labels = NULL;
    EX_TRY(ex_alloc(&images, d->count + more, IMAGE, "CIFAR-10 images"));
    const ex_status status = ex_alloc(&labels, d->count + more, sizeof *labels, "CIFAR-10 labels");
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

static ex_status append_records(ex_dataset *d, const uint8_t *records, size_t count,
                                const char *path)
{
    EX_TRY(grow(d, count));
    for (size_t i = 0; i < count; i++) {
        const uint8_t *record = records + i * RECORD;
        if (record[0] >= CLASSES)
            return EX_FAIL(EX_ERR_INPUT, "%s: label of record %zu is %u; 0 to %d are expected",
                           path, i, record[0], CLASSES - 1);
        d->labels[d->count + i] = record[0];
        memcpy(d->images + (d->count + i) * IMAGE, record + 1, IMAGE);
    }
    d->count += count;
    return EX_OK;
}

static ex_status read_file(ex_dataset *d, const char *path)
{
    ex_status status;
    ex_input *in;
    uint8_t *records = NULL;
    uint64_t got;
    EX_TRY(ex_input_open(&in, path));
    EX_TRY_GOTO(ex_input_take(in, &records, (uint64_t)RECORDS_MAX * RECORD, &got), done);
    EX_TRY_GOTO(ex_input_end(in), done);
    if (got == 0 || got % RECORD != 0) {
        status = EX_FAIL(EX_ERR_INPUT,
                         "%s is truncated: %" PRIu64
                         " bytes are no whole number (1 to %d) of records of %d bytes",
                         path, got, RECORDS_MAX, RECORD);
        goto done;
    }
    status = append_records(d, records, got / RECORD, path);
done:
    ex_free(&records);
    ex_input_close(&in);
    return status;
}

ex_status ex_cifar10_read(ex_dataset *dataset, const char *const *paths, int path_count)
{
    ex_status status = EX_OK;
    dataset->classes = CLASSES;
    dataset->channels = CHANNELS;
    dataset->height = dataset->width = SIDE;
    dataset->count = 0;
    for (int i = 0; i < path_count && status == EX_OK; i++)
        status = read_file(dataset, paths[i]);
    if (status != EX_OK)
        ex_dataset_close(dataset);
    return status;
}
