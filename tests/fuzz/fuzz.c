#include "fuzz.h"
#include "scratch.h"

#include "base/log.h"
#include "model/builder.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

void fuzz_fail(const char *file, int line, const char *condition, const char *format, ...)
{
    fprintf(stderr, "%s:%d: %s does not hold: ", file, line, condition);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

void fuzz_check_status(ex_status status, ex_status expected)
{
    if (status == EX_OK)
        return;
    const unsigned char *message = (const unsigned char *)ex_error_message();
    FUZZ_CHECK(status == expected, "%s: %s", ex_status_name(status), message);
    FUZZ_CHECK(*message, "no message");
    for (const unsigned char *p = message; *p; p++)
        FUZZ_CHECK(*p >= 0x20 && *p != 0x7f, "byte %#x in the message: %s", *p, message);
}

/* --- memory --------------------------------------------------------------------------------- */

/* Of the sanitizers' runtimes, gcc's as well as clang's; absent from other builds. */
__attribute__((weak)) int
__sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                          void (*on_free)(const volatile void *));
__attribute__((weak)) size_t __sanitizer_get_allocated_size(const volatile void *memory);
__attribute__((weak)) int __asan_report_present(void);

static _Thread_local struct {
    bool counting;
    long long held, limit; /* bytes */
} memory;

static void on_malloc(const volatile void *pointer, size_t size)
{
    (void)pointer;
    if (!memory.counting)
        return;
    memory.held += (long long)size;
    if (memory.held <= memory.limit || (__asan_report_present && __asan_report_present()))
        return; /* writing a report takes memory too */
    memory.counting = false;
    FUZZ_CHECK(memory.held <= memory.limit,
               "%lld bytes are held after asking for %zu; at most %lld are in proportion",
               memory.held, size, memory.limit);
}

static void on_free(const volatile void *pointer)
{
    if (memory.counting && pointer)
        memory.held -= (long long)__sanitizer_get_allocated_size(pointer);
}

void fuzz_memory_begin(size_t bytes)
{
    static bool installed;
    if (!installed && __sanitizer_install_malloc_and_free_hooks && __sanitizer_get_allocated_size)
        __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
    installed = true;
    memory.held = 0;
    memory.limit = (long long)bytes;
    memory.counting = true;
}

void fuzz_memory_end(void)
{
    memory.counting = false;
}

static void drop(const char *text, bool warning)
{
    (void)text, (void)warning;
}

void fuzz_silence_log(void)
{
    ex_log_sink_set(drop);
}

/* --- files ---------------------------------------------------------------------------------- */

const char *fuzz_folder(void)
{
    const char *base = access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
    const char *folder = ex_scratch_folder(base, "excise-fuzz");
    FUZZ_CHECK(folder, "no folder in %s", base);
    return folder;
}

const char *fuzz_path(const char *name)
{
    fuzz_folder();
    return ex_scratch_path(name);
}

const char *fuzz_write(const char *name, const void *data, size_t size)
{
    const char *path = fuzz_path(name);
    FILE *file = fopen(path, "wb");
    FUZZ_CHECK(file, "%s", path);
    FUZZ_CHECK(fwrite(data, 1, size, file) == size, "%s", path);
    FUZZ_CHECK(fclose(file) == 0, "%s", path);
    return path;
}

static uint8_t *put32(uint8_t *at, size_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(v >> (24 - 8 * i));
    return at + 4;
}

/* A PNG chunk whose content is at `at` + 8 already; returns what follows it. */
static uint8_t *close_chunk(uint8_t *at, const char *type, size_t bytes)
{
    memcpy(put32(at, bytes), type, 4);
    return put32(at + 8 + bytes, crc32_z(0, at + 4, bytes + 4));
}

const char *fuzz_write_png(const char *name, const uint8_t *pixels, int height, int width)
{
    const size_t n = (size_t)height * (size_t)width, row = 1 + 3 * (size_t)width;
    const size_t raw = row * (size_t)height; /* each row begins with its filter: 0, none */
    uLongf packed = compressBound(raw);
    uint8_t *rows = calloc(raw, 1), *file = malloc(packed + 64), *at = file;
    FUZZ_CHECK(rows && file, "memory");
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < 3; c++)
            rows[i / (size_t)width * row + 1 + i % (size_t)width * 3 + c] = pixels[c * n + i];
    memcpy(at, "\x89PNG\r\n\x1a\n", 8);
    at += 8;
    put32(put32(at + 8, (size_t)width), (size_t)height);
    memcpy(at + 16, "\x08\x02\0\0\0", 5); /* 8 bits, RGB */
    at = close_chunk(at, "IHDR", 13);
    FUZZ_CHECK(compress(at + 8, &packed, rows, raw) == Z_OK, "%s", name);
    at = close_chunk(at, "IDAT", packed);
    at = close_chunk(at, "IEND", 0);
    const char *path = fuzz_write(name, file, (size_t)(at - file));
    free(rows);
    free(file);
    return path;
}

/* --- model ---------------------------------------------------------------------------------- */

const ex_model *fuzz_model(void)
{
    enum { CHANNELS = 4, CLASSES = 3, SIDE = 8 };
    static ex_model model;
    if (model.node_count)
        return &model;
    ex_builder b = {.model = &model};
    snprintf(model.name, sizeof model.name, "tiny");
    model.classes = CLASSES;
    int x = ex_builder_input(&b, 1, SIDE, SIDE);
    const ex_conv_spec conv = {
        .K = CHANNELS, .R = 3, .stride = 1, .pad = 1, .relu = true, .norm = "bn"};
    x = ex_builder_conv(&b, x, "conv", conv);
    x = ex_builder_global_pool(&b, x);
    ex_builder_linear(&b, x, "linear", CLASSES, false);
    FUZZ_CHECK(b.status == EX_OK, "%s", ex_error_message());
    return &model;
}
