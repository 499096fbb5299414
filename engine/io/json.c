#include "base/memory.h"
#include "io/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { JSON_BYTES_MAX = 1 << 28 };

json_t *ex_json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

ex_status ex_json_write(const char *path, const json_t *value)
{
    ex_status status;
    ex_file *file = NULL;
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(17) | JSON_ENCODE_ANY);
    if (!text)
        return EX_FAIL(EX_ERR_INTERNAL, "%s: the value cannot be written as JSON", path);
    EX_TRY_GOTO(ex_file_create(&file, path), done);
    EX_TRY_GOTO(ex_file_append(file, text, strlen(text)), done);
    EX_TRY_GOTO(ex_file_append(file, "\n", 1), done);
    status = ex_file_commit(&file);
done:
    ex_file_discard(&file);
    free(text);
    return status;
}

ex_status ex_json_read(json_t **out, const char *path)
{
    *out = NULL;
    char *text;
    size_t bytes;
    EX_TRY(ex_file_read(&text, &bytes, path, JSON_BYTES_MAX));
    json_error_t error;
    *out = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    ex_free(&text);
    if (!*out)
        return EX_FAIL(EX_ERR_INPUT, "%s:%d:%d: no valid JSON: %s", path, error.line, error.column,
                       error.text);
    return EX_OK;
}
