/* Messages as bytes. The sizes that the ledger counts are those of the bytes written here. */
#include "message.h"

#include "base/memory.h"

#include <stdbool.h>
#include <string.h>
#include <zlib.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "messages are written as they lie in memory, which must be little endian"
#endif

typedef struct header {
    uint8_t magic[8];
    uint32_t kind, round, client, crc;
    uint64_t mask_bytes, values;
} header;

_Static_assert(sizeof(header) == 40, "the header has no padding");

static const uint8_t MAGIC[8] = {'E', 'X', 'M', 'S', 'G', 0, 0, 1};
static const ex_stream HERE = {.threads = 1};

static header header_of(const ex_message *m)
{
    const bool mask_only = m->kind == EX_MESSAGE_MASK;
    const uint64_t words = ((uint64_t)m->mask->model->channel_count + 31) / 32;
    header h = {.kind = m->kind,
                .round = m->round,
                .client = m->client,
                .mask_bytes = m->with_mask || mask_only ? words * 4 : 0,
                .values = mask_only ? 0 : m->mask->param_count + m->mask->stat_count};
    memcpy(h.magic, MAGIC, sizeof h.magic);
    return h;
}

static size_t size_of(const header *h)
{
    return sizeof *h + h->mask_bytes + h->values * sizeof(float);
}

/* CRC-32 of the payload; zlib takes lengths of 32 bits. */
static uint32_t checksum(const uint8_t *payload, size_t bytes)
{
    uLong crc = crc32(0, NULL, 0);
    for (const size_t step = (size_t)1 << 30; bytes > 0;) {
        const size_t n = bytes < step ? bytes : step;
        crc = crc32(crc, payload, (uInt)n);
        payload += n;
        bytes -= n;
    }
    return (uint32_t)crc;
}

/* Bit c % 8 of byte c / 8 is channel c; the padding is zero. */
static void mask_bits(uint8_t *bits, const ex_mask *mask, size_t bytes)
{
    memset(bits, 0, bytes);
    for (int c = 0; c < mask->model->channel_count; c++)
        bits[c / 8] |= (uint8_t)((mask->selected[c] != 0) << (c % 8));
}

size_t ex_message_bytes(const ex_message *m)
{
    const header h = header_of(m);
    return size_of(&h);
}

ex_status ex_message_encode(uint8_t *out, const ex_message *m, const float *params,
                            const float *stats)
{
    EX_CHECK_ARG((uintptr_t)out % sizeof(float) == 0, "the message is not 4-byte aligned");
    header h = header_of(m);
    uint8_t *payload = out + sizeof h;
    if (h.mask_bytes)
        mask_bits(payload, m->mask, h.mask_bytes);
    if (h.values) {
        const ex_mask *k = m->mask;
        float *values = (float *)(payload + h.mask_bytes);
        ex_kernels_host.segments_pack(values, params, k->params, k->param_segments, HERE);
        ex_kernels_host.segments_pack(values + k->param_count, stats, k->stats, k->stat_segments,
                                      HERE);
    }
    h.crc = checksum(payload, size_of(&h) - sizeof h);
    memcpy(out, &h, sizeof h);
    return EX_OK;
}

static ex_status differs(const char *what, uint64_t expected, uint64_t found)
{
    return EX_FAIL(EX_ERR_INPUT,
                   "message: %s %llu was expected, %llu found; sender and receiver do not agree",
                   what, (unsigned long long)expected, (unsigned long long)found);
}

static ex_status check_header(const header *want, const header *got)
{
    if (memcmp(got->magic, MAGIC, sizeof MAGIC) != 0)
        return EX_FAIL(EX_ERR_INPUT, "message: it does not start with the magic number of version "
                                     "1; it comes from something else");
    if (got->kind != want->kind)
        return differs("kind", want->kind, got->kind);
    if (got->round != want->round)
        return differs("round", want->round, got->round);
    if (got->client != want->client)
        return differs("client", want->client, got->client);
    if (got->mask_bytes != want->mask_bytes)
        return differs("size of the mask", want->mask_bytes, got->mask_bytes);
    if (got->values != want->values)
        return differs("number of values", want->values, got->values);
    return EX_OK;
}

static ex_status check_mask(const uint8_t *bits, const ex_mask *mask, size_t bytes)
{
    uint8_t *want;
    EX_TRY(ex_alloc(&want, bytes, 1, "mask of a message"));
    mask_bits(want, mask, bytes);
    const bool same = memcmp(bits, want, bytes) == 0;
    ex_free(&want);
    return same ? EX_OK
                : EX_FAIL(EX_ERR_INPUT, "message: its mask selects other channels than the one "
                                        "that was agreed; send the mask again");
}

ex_status ex_message_decode(const uint8_t *bytes, size_t size, const ex_message *expected,
                            float *params, float *stats)
{
    EX_CHECK_ARG((uintptr_t)bytes % sizeof(float) == 0, "the message is not 4-byte aligned");
    const header want = header_of(expected);
    if (size != size_of(&want))
        return differs("size in bytes", size_of(&want), size);
    header got;
    memcpy(&got, bytes, sizeof got);
    EX_TRY(check_header(&want, &got));
    const uint8_t *payload = bytes + sizeof got;
    if (checksum(payload, size - sizeof got) != got.crc)
        return EX_FAIL(EX_ERR_INPUT, "message: its checksum does not fit; it was damaged on the "
                                     "way, send it again");
    if (want.mask_bytes)
        EX_TRY(check_mask(payload, expected->mask, want.mask_bytes));
    if (want.values) {
        const ex_mask *k = expected->mask;
        const float *values = (const float *)(payload + want.mask_bytes);
        ex_kernels_host.segments_unpack(params, values, k->params, k->param_segments, HERE);
        ex_kernels_host.segments_unpack(stats, values + k->param_count, k->stats, k->stat_segments,
                                        HERE);
    }
    return EX_OK;
}
