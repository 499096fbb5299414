/* How far apart two words are: for "did you mean". */
#ifndef EX_NEAREST_H
#define EX_NEAREST_H

#include <stddef.h>

/* Letters to insert, remove or change that make one of the other (Levenshtein); words of more than
 * 64 bytes are further from all others than those are from each other. */
size_t ex_word_distance(const char *a, const char *b);

#endif
