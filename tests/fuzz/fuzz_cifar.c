/* CIFAR-10 batches and CIFAR-100. Input: a byte of flags, then n files of equal shares of the rest:
 * n - 1 is flags % 3 for CIFAR-10, 0 for CIFAR-100 (bit 3). A record has more bytes than a fuzzer
 * comes upon, so that each byte stands for many of them, unless bit 2 is set. */
#include "fuzz.h"

#include "data/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGE = 3072, FILES = 3, RAW = 4, HUNDRED = 8 };

typedef struct layout {
    int classes;
    size_t label; /* bytes before the image */
    size_t scale; /* divides a record */
} layout;

static const layout ten = {10, 1, 439}, hundred = {100, 2, 58};

static uint8_t *stretch(const uint8_t *data, size_t size, size_t scale)
{
    uint8_t *out = malloc(size * scale + 1);
    FUZZ_CHECK(out, "memory");
    for (size_t i = 0; i < size; i++)
        memset(out + i * scale, data[i], scale);
    return out;
}

static void check_dataset(const ex_dataset *d, const layout *l, const uint8_t *bytes, size_t size)
{
    const size_t length = l->label + IMAGE;
    FUZZ_CHECK(d->count * length == size, "%zu records of %zu bytes", d->count, size);
    FUZZ_CHECK(d->classes == l->classes, "%d classes", d->classes);
    for (size_t i = 0; i < d->count; i++) {
        const uint8_t *image = bytes + i * length + l->label;
        FUZZ_CHECK(d->labels[i] == image[-1] && image[-1] < l->classes, "record %zu", i);
        FUZZ_CHECK(memcmp(d->images + i * IMAGE, image, IMAGE) == 0, "%zu", i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const layout *l = data[0] & HUNDRED ? &hundred : &ten;
    const int raw = data[0] & RAW, files = l == &ten ? data[0] % FILES + 1 : 1;
    const size_t scale = raw ? 1 : l->scale, share = (size - 1) / (size_t)files;
    uint8_t *bytes = raw ? NULL : stretch(data + 1, size - 1, scale);
    const uint8_t *content = raw ? data + 1 : bytes;
    const char *paths[FILES];
    int packed = 0;
    for (int i = 0; i < files; i++) {
        char name[16];
        const uint8_t *file = content + (size_t)i * share * scale;
        snprintf(name, sizeof name, "batch%d", i);
        paths[i] = fuzz_write(name, file, share * scale);
        packed |= share * scale >= 2 && file[0] == 0x1f && file[1] == 0x8b;
    }
    const size_t stored = share * scale * (size_t)files;
    ex_dataset d = {0};
    fuzz_memory_begin(((size_t)1 << 20) + stored * (packed ? 4200 : 16));
    const ex_status status =
        l == &ten ? ex_cifar10_read(&d, paths, files) : ex_cifar100_read(&d, paths[0]);
    fuzz_memory_end();
    fuzz_check_status(status, EX_ERR_INPUT);
    if (status == EX_OK && !packed)
        check_dataset(&d, l, content, stored);
    FUZZ_CHECK(status == EX_OK || (!d.images && !d.labels), "something is left allocated");
    ex_dataset_close(&d);
    free(bytes);
    return 0;
}
