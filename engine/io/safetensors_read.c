#include "base/memory.h"
#include "io/file.h"
#include "io/safetensors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LENGTH_BYTES = 8, HEADER_BYTES_MAX = 100000000 /* as the reference implementation */ };

static const char METADATA[] = "__metadata__";

/* Fills the entry's dtype and shape, and `bytes`, which they take. */
static ex_status parse_type(ex_tensor_entry *e, size_t *bytes, const json_t *value,
                            const char *path)
{
    const char *dtype = json_string_value(json_object_get(value, "dtype"));
    const json_t *shape = json_object_get(value, "shape");
    if (!dtype || !json_is_array(shape))
        return EX_FAIL(EX_ERR_INPUT, "%s: tensor %s has no dtype or no shape", path, e->name);
    e->dtype = ex_dtype_find(dtype);
    if (e->dtype == EX_DTYPE_COUNT)
        return EX_FAIL(EX_ERR_INPUT,
                       "%s: tensor %s is of unknown type %s; F32, F16, BF16 and F64 "
                       "are read",
                       path, e->name, dtype);
    if (json_array_size(shape) > EX_TENSOR_AXES_MAX)
        return EX_FAIL(EX_ERR_INPUT, "%s: tensor %s has %zu axes; at most %d are read", path,
                       e->name, json_array_size(shape), EX_TENSOR_AXES_MAX);
    e->ndim = (int)json_array_size(shape);
    e->count = 1;
    for (int i = 0; i < e->ndim; i++) {
        const json_t *size = json_array_get(shape, (size_t)i);
        const json_int_t n = json_is_integer(size) ? json_integer_value(size) : -1;
        if (n < 0 || __builtin_mul_overflow(e->count, (size_t)n, &e->count))
            return EX_FAIL(EX_ERR_INPUT, "%s: axis %d of tensor %s has no valid size", path, i,
                           e->name);
        e->shape[i] = (size_t)n;
    }
    if (__builtin_mul_overflow(e->count, ex_dtype_bytes(e->dtype), bytes))
        return EX_FAIL(EX_ERR_INPUT, "%s: tensor %s is too large", path, e->name);
    return EX_OK;
}

static ex_status parse_entry(ex_tensor_entry *e, const ex_safetensors *file, const char *name,
                             const json_t *value, const char *path)
{
    size_t bytes = 0;
    e->name = name;
    EX_TRY(parse_type(e, &bytes, value, path));
    const json_t *offsets = json_object_get(value, "data_offsets");
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return EX_FAIL(EX_ERR_INPUT, "%s: tensor %s has no pair of data_offsets", path, name);
    const json_int_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || begin > end || (uintmax_t)end > file->data_bytes)
        return EX_FAIL(EX_ERR_INPUT,
                       "%s is truncated or damaged: tensor %s lies at %" JSON_INTEGER_FORMAT
                       " to %" JSON_INTEGER_FORMAT " of %zu bytes",
                       path, name, begin, end, file->data_bytes);
    if ((size_t)(end - begin) != bytes)
        return EX_FAIL(EX_ERR_INPUT,
                       "%s: tensor %s takes %zu bytes by its type and shape, but %" PRIuMAX
                       " by its offsets",
                       path, name, bytes, (uintmax_t)(end - begin));
    e->data = file->data + begin;
    return EX_OK;
}

static int compare_entries(const void *a, const void *b)
{
    const ex_tensor_entry *x = a, *y = b;
    if (x->data != y->data)
        return (uintptr_t)x->data < (uintptr_t)y->data ? -1 : 1;
    /* Empty ones first, so that each begins where the one before ends. */
    return (x->count > y->count) - (x->count < y->count);
}

static int compare_names(const void *a, const void *b)
{
    const ex_tensor_entry *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int compare_to_name(const void *name, const void *entry)
{
    const ex_tensor_entry *const *e = entry;
    return strcmp(name, (*e)->name);
}

/* Any number of tensors may be in a file, and each is asked for by its name. */
static ex_status sort_by_name(ex_safetensors *file, const char *path)
{
    EX_TRY(ex_alloc(&file->by_name, file->entry_count, sizeof *file->by_name, path));
    for (size_t i = 0; i < file->entry_count; i++)
        file->by_name[i] = &file->entries[i];
    qsort(file->by_name, file->entry_count, sizeof *file->by_name, compare_names);
    return EX_OK;
}

/* The format allows neither gaps nor overlaps. */
static ex_status check_tiling(const ex_safetensors *file, const char *path)
{
    const unsigned char *at = file->data;
    for (size_t i = 0; i < file->entry_count; i++) {
        const ex_tensor_entry *e = &file->entries[i];
        if ((const unsigned char *)e->data != at)
            return EX_FAIL(EX_ERR_INPUT, "%s: tensor %s begins at byte %td, but byte %td is next",
                           path, e->name, (const unsigned char *)e->data - file->data,
                           at - file->data);
        at += e->count * ex_dtype_bytes(e->dtype);
    }
    if (at != file->data + file->data_bytes)
        return EX_FAIL(EX_ERR_INPUT, "%s: %td of %zu bytes belong to no tensor", path,
                       file->data + file->data_bytes - at, file->data_bytes);
    return EX_OK;
}

static ex_status check_metadata(const json_t *metadata, const char *path)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return EX_FAIL(EX_ERR_INPUT, "%s: __metadata__ is no object", path);
    json_object_foreach((json_t *)metadata, key, value)
    {
        if (!json_is_string(value))
            return EX_FAIL(EX_ERR_INPUT, "%s: __metadata__ %s is no text", path, key);
    }
    return EX_OK;
}

static ex_status parse_header(ex_safetensors *file, const char *text, size_t bytes,
                              const char *path)
{
    json_error_t error;
    const char *name;
    json_t *value;
    EX_TRY(ex_json_load(&file->header, text, bytes, JSON_REJECT_DUPLICATES, &error));
    if (!file->header)
        return EX_FAIL(EX_ERR_INPUT, "%s: the header is no valid JSON: %s (byte %d)", path,
                       error.text, LENGTH_BYTES + error.position);
    if (!json_is_object(file->header))
        return EX_FAIL(EX_ERR_INPUT, "%s: the header is no JSON object", path);
    EX_TRY(ex_alloc(&file->entries, json_object_size(file->header), sizeof *file->entries, path));
    json_object_foreach(file->header, name, value)
    {
        if (strcmp(name, METADATA) == 0)
            EX_TRY(check_metadata(value, path));
        else
            EX_TRY(parse_entry(&file->entries[file->entry_count++], file, name, value, path));
    }
    qsort(file->entries, file->entry_count, sizeof *file->entries, compare_entries);
    EX_TRY(check_tiling(file, path));
    return sort_by_name(file, path);
}

/* A zip archive, or a bare pickle; as a length, either is far beyond any file. */
static bool is_pickle(const uint64_t *start)
{
    unsigned char byte[2];
    memcpy(byte, start, sizeof byte);
    return *start > HEADER_BYTES_MAX &&
           ((byte[0] == 'P' && byte[1] == 'K') || (byte[0] == 0x80 && byte[1] <= 5));
}

/* Reads the stream of `size` bytes: *text is the header, file->data the rest. */
static ex_status load(ex_safetensors *file, char **text, size_t *text_bytes, FILE *stream,
                      size_t size, const char *path)
{
    uint64_t length;
    if (size < LENGTH_BYTES || fread(&length, LENGTH_BYTES, 1, stream) != 1)
        return EX_FAIL(EX_ERR_INPUT, "%s is no safetensors file: it has %zu bytes", path, size);
    if (is_pickle(&length))
        return EX_FAIL(EX_ERR_INPUT,
                       "%s is a pickle of torch.save, which excise does not run; in Python: "
                       "safetensors.torch.save_file(state_dict, \"model.safetensors\")",
                       path);
    if (length > size - LENGTH_BYTES || length > HEADER_BYTES_MAX)
        return EX_FAIL(EX_ERR_INPUT,
                       "%s is no safetensors file, or truncated: it tells a header of %" PRIu64
                       " bytes and has %zu in all",
                       path, length, size);
    *text_bytes = (size_t)length;
    file->data_bytes = size - LENGTH_BYTES - *text_bytes;
    EX_TRY(ex_alloc(text, *text_bytes, 1, path));
    EX_TRY(ex_alloc(&file->data, file->data_bytes, 1, path));
    if (fread(*text, 1, *text_bytes, stream) != *text_bytes ||
        fread(file->data, 1, file->data_bytes, stream) != file->data_bytes)
        return EX_FAIL(EX_ERR_INPUT, "%s cannot be read to its end", path);
    return EX_OK;
}

ex_status ex_safetensors_read(ex_safetensors **out, const char *path)
{
    *out = NULL;
    ex_status status;
    ex_safetensors *file = NULL;
    char *text = NULL;
    size_t text_bytes = 0;
    struct stat info;
    /* Before it is opened: opening a pipe waits for a writer. */
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return EX_FAIL(EX_ERR_INPUT, "%s is no regular file", path);
    FILE *stream = fopen(path, "rbe");
    if (!stream)
        return ex_file_read_error(path);
    if (fstat(fileno(stream), &info) != 0) {
        status = ex_file_read_error(path);
        goto done;
    }
    EX_TRY_GOTO(ex_alloc(&file, 1, sizeof *file, path), done);
    EX_TRY_GOTO(load(file, &text, &text_bytes, stream, (size_t)info.st_size, path), done);
    EX_TRY_GOTO(parse_header(file, text, text_bytes, path), done);
    *out = file;
    file = NULL;
done:
    fclose(stream);
    ex_free(&text);
    ex_safetensors_close(&file);
    return status;
}

void ex_safetensors_close(ex_safetensors **file)
{
    if (*file) {
        json_decref((*file)->header);
        ex_free(&(*file)->entries);
        ex_free(&(*file)->by_name);
        ex_free(&(*file)->data);
    }
    ex_free(file);
}

const ex_tensor_entry *ex_safetensors_find(const ex_safetensors *file, const char *name)
{
    const ex_tensor_entry *const *entry =
        bsearch(name, file->by_name, file->entry_count, sizeof *file->by_name, compare_to_name);
    return entry ? *entry : NULL;
}

const char *ex_safetensors_metadata(const ex_safetensors *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->header, METADATA), key));
}
