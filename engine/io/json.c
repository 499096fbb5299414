#include "base/memory.h"
#include "io/file.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { JSON_BYTES_MAX = 1 << 28 };

/* An allocation of jansson's failed in this thread since the last text. A value is built and
 * written by one thread. */
static _Thread_local bool missed;

/* jansson 2.14 crashes where its parser's buffer cannot grow. So what malloc does not give comes
 * from here, and what jansson makes of it is thrown away: take_missed. */
static struct {
    pthread_mutex_t lock;
    int blocks;
    size_t used;
    max_align_t bytes[(1 << 16) / sizeof(max_align_t)];
} reserve = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *take_reserve(size_t bytes)
{
    const size_t units = bytes / sizeof *reserve.bytes + 1;
    void *block = NULL;
    pthread_mutex_lock(&reserve.lock);
    if (units <= sizeof reserve.bytes / sizeof *reserve.bytes - reserve.used) {
        block = &reserve.bytes[reserve.used];
        reserve.used += units;
        reserve.blocks++;
    }
    pthread_mutex_unlock(&reserve.lock);
    return block;
}

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes);
    if (memory)
        return memory;
    missed = true;
    return take_reserve(bytes);
}

static void release(void *block)
{
    const uintptr_t at = (uintptr_t)block, from = (uintptr_t)reserve.bytes;
    if (at < from || at >= from + sizeof reserve.bytes) {
        free(block);
        return;
    }
    pthread_mutex_lock(&reserve.lock);
    if (--reserve.blocks == 0)
        reserve.used = 0;
    pthread_mutex_unlock(&reserve.lock);
}

/* Whether something was missed; forgets it. */
static bool take_missed(void)
{
    const bool was = missed;
    missed = false;
    return was;
}

void ex_json_guard(void)
{
    missed = false;
    json_set_alloc_funcs(allocate, release);
}

ex_status ex_json_text(char **text, const json_t *value, size_t flags, const char *what)
{
    *text = value ? json_dumps(value, flags) : NULL;
    const bool short_of_memory = take_missed() || !value;
    if (*text && !short_of_memory)
        return EX_OK;
    release(*text);
    *text = NULL;
    return short_of_memory
               ? EX_FAIL(EX_ERR_MEMORY, "%s: no memory to write it as JSON", what)
               : EX_FAIL(EX_ERR_INTERNAL, "%s: the value cannot be written as JSON", what);
}

ex_status ex_json_load(json_t **out, const char *text, size_t bytes, size_t flags,
                       json_error_t *error)
{
    missed = false;
    *out = json_loadb(text, bytes, flags, error);
    /* jansson calls a value that it has no memory for a bad one, and goes on without a character of
     * a string that it has none for. */
    if (!take_missed() && (*out || json_error_code(error) != json_error_out_of_memory))
        return EX_OK;
    json_decref(*out);
    *out = NULL;
    return EX_FAIL(EX_ERR_MEMORY, "no memory to read JSON of %zu bytes", bytes);
}

json_t *ex_json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *ex_json_word(const char *text)
{
    json_t *word = text ? json_string(text) : NULL;
    return word ? word : json_null();
}

ex_status ex_json_write(const char *path, const json_t *value)
{
    ex_status status;
    ex_file *file = NULL;
    char *text;
    EX_TRY(ex_json_text(&text, value, JSON_INDENT(2) | JSON_REAL_PRECISION(17) | JSON_ENCODE_ANY,
                        path));
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
    const ex_status status = ex_json_load(out, text, bytes, JSON_REJECT_DUPLICATES, &error);
    ex_free(&text);
    EX_TRY(status);
    if (!*out)
        return EX_FAIL(EX_ERR_INPUT, "%s:%d:%d: no valid JSON: %s", path, error.line, error.column,
                       error.text);
    return EX_OK;
}
