/* The configuration. Input: a YAML file, then settings as -s takes them, each behind a byte 0xff
 * (which no text holds). An error leaves the configuration as it was. What is accepted comes back
 * from being written as config.yaml and read. */
#include "fuzz.h"

#include "config_fields.h"

#include <stdlib.h>
#include <string.h>

static void check_same(const ex_config *a, const ex_config *b)
{
    for (const ex_field *f = ex_fields(); f->key; f++) {
        char x[EX_TEXT_MAX], y[EX_TEXT_MAX];
        ex_field_format(a, f, x, sizeof x);
        ex_field_format(b, f, y, sizeof y);
        FUZZ_CHECK(strcmp(x, y) == 0, "%s: \"%s\" came back as \"%s\"", f->key, x, y);
        FUZZ_CHECK(f->type == EX_FIELD_TEXT || memcmp((const char *)a + f->offset,
                                                      (const char *)b + f->offset, f->size) == 0,
                   "%s: %s", f->key, x);
    }
}

static void apply_setting(ex_config *c, const uint8_t *text, size_t length)
{
    const ex_config before = *c;
    char *setting = malloc(length + 1);
    FUZZ_CHECK(setting, "memory");
    memcpy(setting, text, length);
    setting[length] = '\0';
    const ex_status status = ex_config_set(c, setting, "-s");
    fuzz_check_status(status, EX_ERR_CONFIG);
    FUZZ_CHECK(status == EX_OK || memcmp(&before, c, sizeof before) == 0, "it changed");
    free(setting);
}

static void check_round_trip(const ex_config *c)
{
    ex_config again;
    const char *path = fuzz_path("out");
    ex_config_default(&again);
    FUZZ_OK(ex_config_write(c, path));
    FUZZ_OK(ex_config_read(&again, path));
    check_same(c, &again);
    FUZZ_OK(ex_config_check_resume(c, &again, true));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;
    const uint8_t *mark = size ? memchr(data, 0xff, size) : NULL;
    const size_t bytes = mark ? (size_t)(mark - data) : size;
    const char *path = fuzz_write("in", data, bytes);
    ex_config c;
    ex_config_default(&c);
    const ex_config before = c;
    fuzz_memory_begin(((size_t)1 << 18) + 256 * bytes);
    const ex_status status = ex_config_read(&c, path);
    fuzz_memory_end();
    fuzz_check_status(status, EX_ERR_CONFIG);
    FUZZ_CHECK(status == EX_OK || memcmp(&before, &c, sizeof c) == 0, "it changed");
    while (mark) {
        const uint8_t *text = mark + 1;
        mark = memchr(text, 0xff, (size_t)(end - text));
        apply_setting(&c, text, (size_t)((mark ? mark : end) - text));
    }
    fuzz_check_status(ex_config_check(&c), EX_ERR_CONFIG);
    if (size == 0 || memcmp(&before, &c, sizeof c) != 0) /* most inputs are refused */
        check_round_trip(&c);
    return 0;
}
