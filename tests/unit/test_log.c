/* What stands on stderr, on a terminal (a pseudo terminal) and elsewhere (a file). */
#include "base/log.h"
#include "test.h"

#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char text[1 << 14];

/* Runs `body` with stderr going to `fd`. */
static void with_stderr(int fd, void (*body)(void))
{
    fflush(stderr);
    const int kept = dup(STDERR_FILENO);
    assert_true(dup2(fd, STDERR_FILENO) >= 0);
    body();
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
}

static void capture_file(void (*body)(void))
{
    FILE *f = tmpfile();
    assert_non_null(f);
    with_stderr(fileno(f), body);
    rewind(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
}

static void capture_terminal(void (*body)(void))
{
    int master, slave;
    if (openpty(&master, &slave, NULL, NULL, NULL) != 0)
        skip();
    with_stderr(slave, body);
    close(slave);
    size_t used = 0;
    for (ssize_t got; (got = read(master, text + used, sizeof text - 1 - used)) > 0;)
        used += (size_t)got;
    text[used] = '\0';
    close(master);
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void work(void)
{
    ex_progress_begin("train", 200, "img");
    pause_ms(1100);
    ex_progress_add(100);
    ex_log("a line %d", 7);
    ex_progress_end();
}

static void speak(void)
{
    ex_log("told");
    ex_log_warn("warned");
}

static void test_no_bar_outside_a_terminal(void **state)
{
    (void)state;
    capture_file(work);
    assert_string_equal(text, "a line 7\n");
}

static void test_bar_on_a_terminal_shows_share_rate_and_time_left(void **state)
{
    (void)state;
    capture_terminal(work);
    assert_non_null(strstr(text, "train ["));
    assert_non_null(strstr(text, " 50 %"));
    assert_non_null(strstr(text, "img/s"));
    assert_non_null(strstr(text, "0:01 left"));
    assert_non_null(strstr(text, "a line 7\r\n"));
    const char *end = text + strlen(text) - strlen("\r\033[K");
    assert_string_equal(end, "\r\033[K"); /* the bar is gone at the end */
}

static void test_quiet_keeps_warnings(void **state)
{
    (void)state;
    ex_log_set_level(EX_LOG_QUIET);
    capture_file(speak);
    ex_log_set_level(EX_LOG_INFO);
    assert_string_equal(text, "warning: warned\n");
    capture_file(speak);
    assert_string_equal(text, "told\nwarning: warned\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_bar_outside_a_terminal),
        cmocka_unit_test(test_bar_on_a_terminal_shows_share_rate_and_time_left),
        cmocka_unit_test(test_quiet_keeps_warnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
