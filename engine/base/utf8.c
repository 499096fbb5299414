#include "utf8.h"

/* Bytes of the UTF-8 sequence at p, at most four; 0 if it is none. The second byte's range keeps
 * out overlong forms, surrogates and what is above U+10FFFF. */
static int utf8_length(const unsigned char *p)
{
    const int length = *p < 0x80                  ? 1
                       : *p >= 0xc2 && *p < 0xe0  ? 2
                       : *p >= 0xe0 && *p < 0xf0  ? 3
                       : *p >= 0xf0 && *p <= 0xf4 ? 4
                                                  : 0;
    const int low = *p == 0xe0 ? 0xa0 : *p == 0xf0 ? 0x90 : 0x80;
    const int high = *p == 0xed ? 0x9f : *p == 0xf4 ? 0x8f : 0xbf;
    if (length > 1 && (p[1] < low || p[1] > high))
        return 0;
    for (int i = 2; i < length; i++)
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    return length;
}

bool ex_is_utf8(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    while (*p) {
        const int length = utf8_length(p);
        if (!length)
            return false;
        p += length;
    }
    return true;
}
