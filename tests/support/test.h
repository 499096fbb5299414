/* What every test includes: cmocka with its prerequisites, and the comparisons used throughout.
 * They print both values and survive release builds. */
#ifndef EX_TEST_H
#define EX_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/status.h"

/* Fails with the message of the status unless it is EX_OK. */
#define assert_ok(e) ex_test_status((e), EX_OK, #e, __FILE__, __LINE__)
/* Fails unless `e` gives `expected`. */
#define assert_status(e, expected) ex_test_status((e), (expected), #e, __FILE__, __LINE__)
/* Fails unless |actual - ref| <= atol + rtol * |ref| for all n floats; NaN fails unless both are NaN.
 * The message holds the largest error, its index and the number of wrong elements. */
#define assert_close(actual, ref, n, atol, rtol)                                                   \
    ex_test_close((actual), (ref), (n), (atol), (rtol), #actual, __FILE__, __LINE__)
/* Fails unless the message of the last error contains `text`. */
#define assert_message(text) ex_test_message((text), __FILE__, __LINE__)

void ex_test_status(ex_status actual, ex_status expected, const char *text, const char *file,
                    int line);
void ex_test_close(const float *actual, const float *ref, size_t n, double atol, double rtol,
                   const char *text, const char *file, int line);
void ex_test_message(const char *text, const char *file, int line);

/* n floats with guard words on both sides, poisoned with NaN; ex_guard_check fails if a guard was
 * overwritten; ex_guard_free frees. */
float *ex_guard_floats(size_t n);
void ex_guard_check(const float *floats, size_t n);
void ex_guard_free(float *floats);

#endif
