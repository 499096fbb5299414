/* Which counts may differ between two ways of summing. */
#ifndef EX_CLOSE_CALL_H
#define EX_CLOSE_CALL_H

#include <stdbool.h>

/* Whether an image's logits (classes) are too close to call: those of its label and of the best
 * other class are within 1e-4, and may change places with the order of summation. */
bool ex_test_close_call(const float *logits, int classes, int label);

#endif
