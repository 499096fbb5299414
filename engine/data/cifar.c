/* CIFAR, binary versions: records of one label byte (CIFAR-10) or two (CIFAR-100: coarse, fine),
 * then 3 x 32 x 32 bytes, planes R, G, B. */
#include "base/memory.h"
#include "data/dataset.h"
#include "data/input.h"

#include <assert.h>
#include <inttypes.h>

enum { SIDE = 32, CHANNELS = 3, IMAGE = CHANNELS * SIDE * SIDE, FILES_MAX = 5 };

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

/* *count = the records of a file, which is read to its end for that: a compressed one does not tell
 * how much it holds. */
static ex_status count_records(size_t *count, const layout *l, const char *path)
{
    ex_status status;
    ex_input *in;
    uint8_t bytes[1 << 13];
    uint64_t got, all = 0;
    const uint64_t record = record_bytes(l), most = l->records * record;
    EX_TRY(ex_input_open(&in, path));
    do {
        const uint64_t left = most - all;
        EX_TRY_GOTO(ex_input_read_some(in, bytes, left < sizeof bytes ? left : sizeof bytes, &got),
                    done);
        all += got;
    } while (got > 0);
    EX_TRY_GOTO(ex_input_end(in), done);
    if (all == 0 || all % record != 0)
        status = EX_FAIL(EX_ERR_INPUT,
                         "%s is truncated: %" PRIu64
                         " bytes are no whole number (1 to %zu) of records of %" PRIu64 " bytes",
                         path, all, l->records, record);
    *count = (size_t)(all / record);
done:
    ex_input_close(&in);
    return status;
}

/* Reads so many records behind those that are there, where there is room for them. */
static ex_status read_records(ex_dataset *d, const layout *l, size_t count, const char *path)
{
    ex_status status;
    ex_input *in;
    uint8_t label[2];
    EX_TRY(ex_input_open(&in, path));
    for (size_t i = 0; i < count; i++, d->count++) {
        EX_TRY_GOTO(ex_input_read(in, label, l->label, "a label"), done);
        EX_TRY_GOTO(ex_input_read(in, d->images + d->count * IMAGE, IMAGE, "an image"), done);
        d->labels[d->count] = label[l->label - 1];
        if (d->labels[d->count] >= l->classes) {
            status = EX_FAIL(EX_ERR_INPUT, "%s: label of record %zu is %u; 0 to %d are expected",
                             path, i, d->labels[d->count], l->classes - 1);
            goto done;
        }
    }
    status = ex_input_end(in);
done:
    ex_input_close(&in);
    return status;
}

/* Room for all files is made at once: growing by a file would hold everything twice. */
static ex_status read_files(ex_dataset *d, const layout *l, const char *const *paths, int count)
{
    ex_status status = EX_OK;
    size_t records[FILES_MAX] = {0}, all = 0;
    assert(count <= FILES_MAX);
    d->classes = l->classes;
    d->channels = CHANNELS;
    d->height = d->width = SIDE;
    d->count = 0;
    for (int i = 0; i < count; i++) {
        EX_TRY_GOTO(count_records(&records[i], l, paths[i]), done);
        all += records[i];
    }
    EX_TRY_GOTO(ex_alloc(&d->images, all, IMAGE, "CIFAR images"), done);
    EX_TRY_GOTO(ex_alloc(&d->labels, all, sizeof *d->labels, "CIFAR labels"), done);
    for (int i = 0; i < count && status == EX_OK; i++)
        status = read_records(d, l, records[i], paths[i]);
done:
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
