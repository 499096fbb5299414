#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 16 };
static const uint32_t GUARD_WORD = 0xdeadbeefu;

/* EXCISE_ONLY=test_NAME runs one test of any program alone; NAME may have * and ?. */
__attribute__((constructor)) static void choose_tests(void)
{
    const char *only = getenv("EXCISE_ONLY");
    if (only)
        cmocka_set_test_filter(only);
}

/* Also where a test is run by hand: what it times is not for the user's runs, nor the reverse. */
__attribute__((constructor)) static void leave_the_user_s_cache_alone(void)
{
    (void)setenv("EXCISE_CACHE", "off", 0);
}

void ex_test_status(ex_status actual, ex_status expected, const char *text, const char *file,
                    int line)
{
    if (actual == expected)
        return;
    print_error("%s:%d: %s gave %s, expected %s\n  %s (%s)\n", file, line, text,
                ex_status_name(actual), ex_status_name(expected), ex_error_message(),
                ex_error_where());
    _fail(file, line);
}

void ex_test_message(const char *text, const char *file, int line)
{
    if (strstr(ex_error_message(), text))
        return;
    print_error("%s:%d: the message lacks \"%s\": %s\n", file, line, text, ex_error_message());
    _fail(file, line);
}

void ex_test_close(const float *actual, const float *ref, size_t n, double atol, double rtol,
                   const char *text, const char *file, int line)
{
    size_t wrong = 0, worst = 0;
    double worst_excess = -1.0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(actual[i]) && isnan(ref[i]))
            continue;
        const double error = fabs((double)actual[i] - (double)ref[i]);
        const double excess = error - (atol + rtol * fabs((double)ref[i]));
        if (excess <= 0.0)
            continue;
        wrong++;
        if (worst_excess < excess || isnan(excess)) {
            worst_excess = isnan(excess) ? INFINITY : excess;
            worst = i;
        }
    }
    if (wrong == 0)
        return;
    print_error("%s:%d: %s: %zu of %zu wrong (atol %g, rtol %g); worst at %zu: %.9g, expected %.9g\n",
                file, line, text, wrong, n, atol, rtol, worst, (double)actual[worst],
                (double)ref[worst]);
    _fail(file, line);
}

float *ex_guard_floats(size_t n)
{
    uint32_t *words = malloc((n + 2 * GUARD) * sizeof *words);
    assert_non_null(words);
    for (int i = 0; i < GUARD; i++)
        words[i] = words[GUARD + n + (size_t)i] = GUARD_WORD;
    float *floats = (float *)(words + GUARD);
    for (size_t i = 0; i < n; i++)
        floats[i] = NAN;
    return floats;
}

void ex_guard_check(const float *floats, size_t n)
{
    for (size_t i = 0; i < GUARD; i++) {
        uint32_t before, after;
        memcpy(&before, floats - GUARD + i, sizeof before);
        memcpy(&after, floats + n + i, sizeof after);
        if (before != GUARD_WORD || after != GUARD_WORD)
            fail_msg("guard word %zu beside %zu floats was overwritten", i, n);
    }
}

void ex_guard_free(float *floats)
{
    if (floats)
        free(floats - GUARD);
}
