/* What goes over the wire: a header, a mask where it must be told, values.
 *
 * Little endian. Header (40 bytes): magic "EXMSG\0\0\1", u32 kind, u32 round, u32 client, u32 crc32
 * of all that follows the header, u64 mask bytes, u64 value count; then the mask (one bit a
 * channel, padded to 4 bytes), then float32 values: selected params in segment order, then selected
 * stats. Sizes come from the same function that the encoder uses, so the ledger counts what would
 * be sent. */
#ifndef EX_MESSAGE_H
#define EX_MESSAGE_H

#include "model/mask.h"

#include <stdint.h>

typedef enum ex_message_kind {
    EX_MESSAGE_MODEL = 1,  /* server to client: values of the mask's segments */
    EX_MESSAGE_UPDATE = 2, /* client to server: the same segments, as a difference or as values */
    EX_MESSAGE_MASK = 3,   /* server to client: the mask alone */
} ex_message_kind;

typedef struct ex_message {
    ex_message_kind kind;
    uint32_t round, client;
    const ex_mask *mask; /* which values; for a full exchange, a full mask */
    bool with_mask;      /* the mask travels too */
} ex_message;

size_t ex_message_bytes(const ex_message *m);
/* out has ex_message_bytes(m), 4-byte aligned; params, stats: flat vectors the values are packed
 * from (not read for EX_MESSAGE_MASK). */
ex_status ex_message_encode(uint8_t *out, const ex_message *m, const float *params,
                            const float *stats);
/* Checks size, every field, crc and mask against what `expected` says, then unpacks into params and
 * stats, which stay as they were on an error. bytes: 4-byte aligned.
 * EX_ERR_INPUT naming what was expected and found. */
ex_status ex_message_decode(const uint8_t *bytes, size_t size, const ex_message *expected,
                            float *params, float *stats);

#endif
