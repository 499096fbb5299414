/* The file that names a data set's classes, and the text that --class finds one by. Input: a byte
 * that says how many classes there are, the text, a byte 0xff, and the file. Names are printable;
 * each finds itself, and what is found is one of them. */
#include "fuzz.h"

#include "data/classes.h"

#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES_MAX = 128 };

/* --class takes no text that holds a 0. */
static char *text_of(const uint8_t *bytes, size_t size)
{
    char *text = malloc(size + 1);
    FUZZ_CHECK(text, "memory");
    memcpy(text, bytes, size);
    text[size] = '\0';
    return text;
}

static void check_names(const ex_class_names *names, int count)
{
    FUZZ_CHECK(names->count == count, "%d names", names->count);
    for (int i = 0; names->name && i < count; i++) {
        int label = -1;
        const char *name = ex_class_name(names, i);
        FUZZ_CHECK(name && *name && strlen(name) <= NAME_BYTES_MAX, "name %d", i);
        for (const unsigned char *p = (const unsigned char *)name; *p; p++)
            FUZZ_CHECK(*p >= 0x20 && *p != 0x7f, "byte %#x in name %d", *p, i);
        FUZZ_OK(ex_class_find(&label, names, "test", name));
        FUZZ_CHECK(label <= i && strcmp(ex_class_name(names, label), name) == 0, "name %d", i);
    }
    FUZZ_CHECK(!ex_class_name(names, -1) && !ex_class_name(names, count), "beyond the last");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *mark = size ? memchr(data, 0xff, size) : NULL;
    if (!mark || mark == data)
        return 0;
    const int count = data[0] + 1;
    ex_class_names names;
    int label = -1;
    fuzz_silence_log();
    const size_t bytes = size - (size_t)(mark + 1 - data);
    const char *path = fuzz_write("in", mark + 1, bytes);
    fuzz_memory_begin(((size_t)1 << 18) + 4 * bytes + 512 * (size_t)count);
    FUZZ_OK(ex_class_names_read(&names, path, count));
    fuzz_memory_end();
    check_names(&names, count);
    char *text = text_of(data + 1, (size_t)(mark - data - 1));
    const ex_status status = ex_class_find(&label, &names, "test", text);
    fuzz_check_status(status, EX_ERR_USAGE);
    FUZZ_CHECK(status != EX_OK || (label >= 0 && label < count), "label %d", label);
    free(text);
    ex_class_names_free(&names);
    return 0;
}
