#include "data/input.h"

#include "base/memory.h"
#include "io/file.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum {
    CHUNK = 1 << 30,
    DEFLATE_RATIO = 1032, /* no deflate stream is denser (zlib's technical notes) */
    USUAL_RATIO = 8,      /* images are less dense than this: read without growing */
    ROOM_MIN = 1 << 12,
};

struct ex_input {
    gzFile file;
    char path[PATH_MAX];
    uint64_t stored; /* bytes on the disk */
    uint64_t done;   /* bytes handed out */
};

ex_status ex_input_open(ex_input **out, const char *path)
{
    *out = NULL;
    ex_input *input;
    struct stat info;
    EX_TRY(ex_alloc(&input, 1, sizeof *input, path));
    snprintf(input->path, sizeof input->path, "%s", path);
    const int missing = stat(path, &info) != 0;
    if (missing || !S_ISREG(info.st_mode)) {
        const char *reason = missing ? strerror(errno) : "no regular file";
        ex_free(&input);
        return EX_FAIL(EX_ERR_INPUT, "%s cannot be read: %s", path, reason);
    }
    input->stored = (uint64_t)info.st_size;
    input->file = gzopen(path, "rbe");
    if (!input->file) {
        const ex_status status = ex_file_read_error(path);
        ex_free(&input);
        return status;
    }
    gzbuffer(input->file, 1 << 17);
    *out = input;
    return EX_OK;
}

void ex_input_close(ex_input **input)
{
    if (*input)
        gzclose_r((*input)->file);
    ex_free(input);
}

/* Of zlib's last call, by errno where zlib has it from there. */
static ex_status read_error(const ex_input *input)
{
    int code;
    const char *text = gzerror(input->file, &code);
    if (code == Z_ERRNO)
        return ex_file_read_error(input->path);
    if (code == Z_MEM_ERROR) /* its buffers are made by the first read */
        return EX_FAIL(EX_ERR_MEMORY, "%s: no memory to read it", input->path);
    return EX_FAIL(EX_ERR_INPUT, "%s is damaged after %" PRIu64 " bytes: %s", input->path,
                   input->done, text);
}

ex_status ex_input_read_some(ex_input *input, void *out, uint64_t bytes, uint64_t *got)
{
    unsigned char *p = out;
    *got = 0;
    while (*got < bytes) {
        const uint64_t left = bytes - *got;
        const int n = gzread(input->file, p + *got, left < CHUNK ? (unsigned)left : CHUNK);
        if (n < 0)
            return read_error(input);
        if (n == 0)
            break;
        *got += (uint64_t)n;
        input->done += (uint64_t)n;
    }
    return EX_OK;
}

ex_status ex_input_read(ex_input *input, void *out, uint64_t bytes, const char *what)
{
    uint64_t got;
    const uint64_t start = input->done;
    EX_TRY(ex_input_read_some(input, out, bytes, &got));
    if (got < bytes)
        return EX_FAIL(EX_ERR_INPUT,
                       "%s is truncated: %s needs %" PRIu64 " bytes from byte %" PRIu64
                       " on, %" PRIu64 " are there",
                       input->path, what, bytes, start, got);
    return EX_OK;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

ex_status ex_input_take(ex_input *input, uint8_t **out, uint64_t most, uint64_t *got)
{
    ex_status status;
    uint8_t *bytes = NULL, *bigger = NULL;
    uint64_t more, room = smaller(most, ROOM_MIN + USUAL_RATIO * input->stored);
    *out = NULL;
    *got = 0;
    EX_TRY_GOTO(ex_alloc(&bytes, room, 1, input->path), done);
    for (;;) {
        EX_TRY_GOTO(ex_input_read_some(input, bytes + *got, room - *got, &more), done);
        *got += more;
        if (*got < room || room == most)
            break;
        const uint64_t twice = smaller(most, 2 * room);
        EX_TRY_GOTO(ex_alloc(&bigger, twice, 1, input->path), done);
        memcpy(bigger, bytes, room);
        ex_free(&bytes);
        bytes = bigger;
        room = twice;
    }
    *out = bytes;
    bytes = NULL;
done:
    ex_free(&bytes);
    return status;
}

ex_status ex_input_end(ex_input *input)
{
    char byte;
    uint64_t got;
    int code;
    EX_TRY(ex_input_read_some(input, &byte, 1, &got));
    gzerror(input->file, &code);
    if (code == Z_BUF_ERROR) /* the values are there, the checksum behind them is not */
        return EX_FAIL(EX_ERR_INPUT, "%s is truncated: the end of its gzip stream is missing",
                       input->path);
    if (got)
        return EX_FAIL(EX_ERR_INPUT, "%s goes on after the %" PRIu64 " bytes expected", input->path,
                       input->done - 1);
    return EX_OK;
}

uint64_t ex_input_most(const ex_input *input)
{
    return input->stored > UINT64_MAX / DEFLATE_RATIO ? UINT64_MAX : input->stored * DEFLATE_RATIO;
}
