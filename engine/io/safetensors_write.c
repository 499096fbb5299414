#include "io/file.h"
#include "io/safetensors.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t element_count(const ex_tensor_entry *e)
{
    size_t count = 1;
    for (int i = 0; i < e->ndim; i++)
        count *= e->shape[i];
    return count;
}

static size_t entry_bytes(const ex_tensor_entry *e)
{
    return element_count(e) * ex_dtype_bytes(e->dtype);
}

/* Describes the entry whose bytes begin at `offset`. */
static json_t *describe(const ex_tensor_entry *e, size_t offset)
{
    json_t *shape = json_array();
    for (int i = 0; i < e->ndim; i++)
        json_array_append_new(shape, json_integer((json_int_t)e->shape[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", ex_dtype_name(e->dtype), "shape", shape,
                     "data_offsets", (json_int_t)offset, (json_int_t)(offset + entry_bytes(e)));
}

static ex_status make_header(char **text, const char *path, const ex_tensor_entry *entries,
                             size_t entry_count, const json_t *metadata)
{
    size_t offset = 0;
    json_t *header = json_object();
    if (metadata)
        json_object_set(header, "__metadata__", (json_t *)metadata);
    for (size_t i = 0; i < entry_count; i++) {
        json_object_set_new(header, entries[i].name, describe(&entries[i], offset));
        offset += entry_bytes(&entries[i]);
    }
    const ex_status status = ex_json_text(text, header, JSON_COMPACT, path);
    json_decref(header);
    return status;
}

ex_status ex_safetensors_write(const char *path, const ex_tensor_entry *entries, size_t entry_count,
                               const json_t *metadata)
{
    ex_status status;
    ex_file *file = NULL;
    static const char spaces[8] = "        ";
    char *text;
    EX_TRY(make_header(&text, path, entries, entry_count, metadata));
    const size_t bytes = strlen(text), padding = (8 - bytes % 8) % 8;
    const uint64_t length = bytes + padding;
    EX_TRY_GOTO(ex_file_create(&file, path), done);
    EX_TRY_GOTO(ex_file_append(file, &length, sizeof length), done);
    EX_TRY_GOTO(ex_file_append(file, text, bytes), done);
    EX_TRY_GOTO(ex_file_append(file, spaces, padding), done);
    for (size_t i = 0; i < entry_count; i++)
        EX_TRY_GOTO(ex_file_append(file, entries[i].data, entry_bytes(&entries[i])), done);
    status = ex_file_commit(&file);
done:
    ex_file_discard(&file);
    free(text);
    return status;
}
