/* The safetensors format alone. What is read is written and read again: same entries, same bytes,
 * same metadata. */
#include "fuzz.h"

#include "io/safetensors.h"

#include <string.h>

static size_t bytes_of(const ex_tensor_entry *e)
{
    return e->count * ex_dtype_bytes(e->dtype);
}

/* The tensors fill the data without gaps or overlaps, and each is found by its name. */
static void check_entries(const ex_safetensors *file)
{
    const unsigned char *at = file->data;
    for (size_t i = 0; i < file->entry_count; i++) {
        const ex_tensor_entry *e = &file->entries[i];
        size_t count = 1;
        FUZZ_CHECK(e->ndim >= 0 && e->ndim <= EX_TENSOR_AXES_MAX, "%d axes", e->ndim);
        for (int a = 0; a < e->ndim; a++)
            FUZZ_CHECK(!__builtin_mul_overflow(count, e->shape[a], &count), "entry %zu", i);
        FUZZ_CHECK(e->count == count && e->data == at, "entry %zu", i);
        FUZZ_CHECK(ex_safetensors_find(file, e->name) == e, "%s", e->name);
        at += bytes_of(e);
    }
    FUZZ_CHECK(at == file->data + file->data_bytes, "bytes are left over");
}

static void check_same(const ex_safetensors *a, const ex_safetensors *b)
{
    FUZZ_CHECK(a->entry_count == b->entry_count, "%zu entries", b->entry_count);
    for (size_t i = 0; i < a->entry_count; i++) {
        const ex_tensor_entry *x = &a->entries[i], *y = ex_safetensors_find(b, x->name);
        FUZZ_CHECK(y && x->dtype == y->dtype && x->ndim == y->ndim, "%s", x->name);
        FUZZ_CHECK(memcmp(x->shape, y->shape, (size_t)x->ndim * sizeof *x->shape) == 0, "%s",
                   x->name);
        FUZZ_CHECK(memcmp(x->data, y->data, bytes_of(x)) == 0, "%s", x->name);
    }
    const json_t *x = json_object_get(a->header, "__metadata__");
    const json_t *y = json_object_get(b->header, "__metadata__");
    FUZZ_CHECK(x == y || json_equal(x, y), "metadata");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ex_safetensors *file, *again;
    const char *path = fuzz_write("in", data, size);
    fuzz_memory_begin(((size_t)1 << 16) + 512 * size); /* JSON values are larger than their text */
    const ex_status status = ex_safetensors_read(&file, path);
    fuzz_memory_end();
    fuzz_check_status(status, EX_ERR_INPUT);
    FUZZ_CHECK((status == EX_OK) == (file != NULL), "%p", (void *)file);
    if (status != EX_OK)
        return 0;
    check_entries(file);
    const char *copy = fuzz_path("out");
    FUZZ_OK(ex_safetensors_write(copy, file->entries, file->entry_count,
                                 json_object_get(file->header, "__metadata__")));
    FUZZ_OK(ex_safetensors_read(&again, copy));
    check_entries(again);
    check_same(file, again);
    ex_safetensors_close(&file);
    ex_safetensors_close(&again);
    return 0;
}
