/* Messages between server and clients. Input: a byte that says which message is expected (bits 0
 * and 1: the kind; bit 2: with its mask; bits 3 to 6: which channels), then the message. It is
 * decoded as it is and with its checksum put right, which a fuzzer cannot. What is taken must come
 * out of the encoder again, byte by byte; what is refused must leave the values alone. */
#include "fuzz.h"

#include "message.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { HEADER = 40, CRC_AT = 20, ROUND = 7, CLIENT = 3 };

typedef struct values {
    float *params, *stats;
} values;

static float *new_values(size_t count)
{
    float *out = malloc(count * sizeof *out);
    FUZZ_CHECK(out, "memory");
    for (size_t i = 0; i < count; i++)
        out[i] = (float)i * 0.5f;
    return out;
}

static ex_message expected_message(const ex_mask *mask, uint8_t selector)
{
    static const ex_message_kind kinds[] = {EX_MESSAGE_MODEL, EX_MESSAGE_UPDATE, EX_MESSAGE_MASK,
                                            EX_MESSAGE_MODEL};
    return (ex_message){.kind = kinds[selector & 3],
                        .round = ROUND,
                        .client = CLIENT,
                        .mask = mask,
                        .with_mask = (selector & 4) != 0};
}

/* bytes: 4-byte aligned, of `size` bytes exactly. */
static void decode(const uint8_t *bytes, size_t size, const ex_message *expected)
{
    const ex_model *m = expected->mask->model;
    const values before = {new_values(m->param_count), new_values(m->stat_count)};
    const values got = {new_values(m->param_count), new_values(m->stat_count)};
    fuzz_memory_begin(((size_t)1 << 12) + size);
    const ex_status status = ex_message_decode(bytes, size, expected, got.params, got.stats);
    fuzz_memory_end();
    fuzz_check_status(status, EX_ERR_INPUT);
    if (status == EX_OK) {
        FUZZ_CHECK(size == ex_message_bytes(expected), "%zu bytes", size);
        uint8_t *again = malloc(size);
        FUZZ_CHECK(again, "memory");
        FUZZ_OK(ex_message_encode(again, expected, got.params, got.stats));
        FUZZ_CHECK(memcmp(again, bytes, size) == 0, "the message differs");
        free(again);
    } else {
        FUZZ_CHECK(memcmp(before.params, got.params, m->param_count * sizeof(float)) == 0,
                   "params");
        FUZZ_CHECK(memcmp(before.stats, got.stats, m->stat_count * sizeof(float)) == 0, "stats");
    }
    free(before.params);
    free(before.stats);
    free(got.params);
    free(got.stats);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    /* Loads what clang's OpenMP takes at its first call, a megabyte. */
    ex_kernels_host.segments_unpack(NULL, NULL, NULL, 0, (ex_stream){.threads = 1});
    ex_mask *mask;
    FUZZ_OK(ex_mask_create(&mask, fuzz_model()));
    for (int c = 0; c < mask->model->layers[0].channels; c++)
        if (data[0] >> (3 + c) & 1)
            FUZZ_OK(ex_mask_select(mask, 0, c));
    FUZZ_OK(ex_mask_seal(mask));
    const ex_message expected = expected_message(mask, data[0]);
    const size_t bytes = size - 1;
    uint8_t *message = malloc(bytes ? bytes : 1);
    FUZZ_CHECK(message, "memory");
    memcpy(message, data + 1, bytes);
    decode(message, bytes, &expected);
    if (bytes >= HEADER) {
        const uint32_t crc = (uint32_t)crc32_z(0, message + HEADER, bytes - HEADER);
        memcpy(message + CRC_AT, &crc, sizeof crc);
        decode(message, bytes, &expected);
    }
    free(message);
    ex_mask_destroy(&mask);
    return 0;
}
