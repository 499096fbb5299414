/* CIFAR-10 batches. Input: a byte n, then n & 3 files of equal shares of the rest (at least one).
 * A record has 3073 bytes, more than a fuzzer comes upon: each share is stretched, its byte i
 * standing for SCALE bytes, unless bit 2 of n is set. */
#include "fuzz.h"

#include "data/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD = 3073, SCALE = 439 /* 7 * 439 = RECORD */, CLASSES = 10, FILES = 3, RAW = 4 };

static uint8_t *stretch(const uint8_t *data, size_t size)
{
    uint8_t *out = malloc(size * SCALE + 1);
    FUZZ_CHECK(out, "memory");
    for (size_t i = 0; i < size; i++)
        memset(out + i * SCALE, data[i], SCALE);
    return out;
}

static void check_dataset(const ex_dataset *d, const uint8_t *bytes, size_t size)
{
    FUZZ_CHECK(d->count * RECORD == size, "%zu records of %zu bytes", d->count, size);
    for (size_t i = 0; i < d->count; i++) {
        const uint8_t *record = bytes + i * RECORD;
        FUZZ_CHECK(d->labels[i] == record[0] && record[0] < CLASSES, "record %zu", i);
        FUZZ_CHECK(memcmp(d->images + i * (RECORD - 1), record + 1, RECORD - 1) == 0, "%zu", i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const int raw = data[0] & RAW, files = data[0] % FILES + 1;
    const size_t scale = raw ? 1 : SCALE, share = (size - 1) / (size_t)files;
    uint8_t *bytes = raw ? NULL : stretch(data + 1, size - 1);
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
    const ex_status status = ex_cifar10_read(&d, paths, files);
    fuzz_memory_end();
    fuzz_check_status(status, EX_ERR_INPUT);
    if (status == EX_OK && !packed)
        check_dataset(&d, content, stored);
    FUZZ_CHECK(status == EX_OK || (!d.images && !d.labels), "something is left allocated");
    ex_dataset_close(&d);
    free(bytes);
    return 0;
}
