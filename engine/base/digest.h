/* FNV-1a, 64 bit: tells files and tables apart that do not belong together. It guards against
 * mistakes, not against an adversary. */
#ifndef EX_DIGEST_H
#define EX_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define EX_DIGEST_START UINT64_C(0xcbf29ce484222325)

static inline uint64_t ex_digest(uint64_t digest, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < bytes; i++)
        digest = (digest ^ p[i]) * UINT64_C(0x100000001b3);
    return digest;
}

#endif
