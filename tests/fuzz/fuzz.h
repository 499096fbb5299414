/* What every fuzz target shares.
 *
 * A target is one fuzz_NAME.c with LLVMFuzzerTestOneInput: it hands bytes to one parser and checks
 * more than that it survives. What the parser takes must come back from being written and read
 * again; what it refuses, it refuses with the right kind of error and a message of one line; and
 * the memory that it asks for is bounded by the size of the input, not by numbers in it.
 *
 * clang links a target with libFuzzer; any other build links it with replay.c, which runs the
 * committed corpus, so that each build tests what was found once. */
#ifndef EX_FUZZ_H
#define EX_FUZZ_H

#include "base/status.h"
#include "model/model.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process, which makes the input a finding, unless `condition` holds. */
#define FUZZ_CHECK(condition, ...)                                                                 \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fuzz_fail(__FILE__, __LINE__, #condition, __VA_ARGS__);                                \
    } while (0)
/* Same, unless `call` gives EX_OK. */
#define FUZZ_OK(call) FUZZ_CHECK((call) == EX_OK, "%s", ex_error_message())

_Noreturn void fuzz_fail(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* `status` is EX_OK or `expected`; an error's message is there, of one line, and printable. */
void fuzz_check_status(ex_status status, ex_status expected);

/* From here to fuzz_memory_end the process may hold at most `bytes` more than it does now. Counted
 * where a sanitizer counts allocations, else not at all. */
void fuzz_memory_begin(size_t bytes);
void fuzz_memory_end(void);

/* The log goes nowhere, warnings too: printing them would be most of the work. */
void fuzz_silence_log(void);

/* A folder of this process, in memory where /dev/shm is, removed at exit. */
const char *fuzz_folder(void);
/* Path of `name` in it; each call returns its own buffer, one of the last 4. */
const char *fuzz_path(const char *name);
/* Writes the file of that name in it; returns its path. */
const char *fuzz_write(const char *name, const void *data, size_t size);

/* Writes a PNG file of pixels (3, height, width), unfiltered; returns its path. */
const char *fuzz_write_png(const char *name, const uint8_t *pixels, int height, int width);

/* The model that model files, masks, messages and effects are read for: a convolution ("conv", 4
 * channels, with norm "bn") of 1 x 8 x 8 images and a linear layer ("linear") of 3 classes. Made
 * once, never destroyed. */
const ex_model *fuzz_model(void);

#endif
