/* Text of outside bytes. */
#ifndef EX_UTF8_H
#define EX_UTF8_H

#include <stdbool.h>

/* Whether a text is UTF-8 from its first byte to its last. */
bool ex_is_utf8(const char *text);

#endif
