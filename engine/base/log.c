#include "base/log.h"

#include "base/clock.h"
#include "base/status.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BAR_CELLS = 24 };
static const double REDRAW_S = 0.1;
static const char CLEAR_LINE[] = "\r\033[K";

static struct {
    pthread_mutex_t lock;
    ex_log_level level;
    bool active; /* a bar is on the terminal's last line */
    char label[64], unit[16];
    double total, done;  /* in `unit` */
    double start, drawn; /* ex_now() */
} log_state = {.lock = PTHREAD_MUTEX_INITIALIZER, .level = EX_LOG_INFO};

void ex_log_set_level(ex_log_level level)
{
    pthread_mutex_lock(&log_state.lock);
    log_state.level = level;
    pthread_mutex_unlock(&log_state.lock);
}

static void draw(double now)
{
    const double elapsed = now - log_state.start;
    double share = log_state.total > 0 ? log_state.done / log_state.total : 0;
    share = share > 1 ? 1 : share;
    const double rate = elapsed > 0 ? log_state.done / elapsed : 0;
    const int cells = (int)(share * BAR_CELLS);
    fprintf(stderr, "%s%s [%.*s%*s] %3.0f %%  %.0f %s/s", CLEAR_LINE, log_state.label, cells,
            "########################", BAR_CELLS - cells, "", 100 * share, rate, log_state.unit);
    if (share > 0 && elapsed > 1) {
        const int left = (int)(elapsed * (1 - share) / share + 0.5);
        fprintf(stderr, "  %d:%02d left", left / 60, left % 60);
    }
    fflush(stderr);
    log_state.drawn = now;
}

/* A line above the bar. */
static void print_here(const char *text, bool warning)
{
    pthread_mutex_lock(&log_state.lock);
    if (warning || log_state.level > EX_LOG_QUIET) {
        fprintf(stderr, "%s%s%s\n", log_state.active ? CLEAR_LINE : "", warning ? "warning: " : "",
                text);
        if (log_state.active)
            draw(ex_now());
    }
    pthread_mutex_unlock(&log_state.lock);
}

static ex_log_sink log_sink = print_here;

ex_log_sink ex_log_sink_get(void)
{
    return log_sink;
}

void ex_log_sink_set(ex_log_sink sink)
{
    log_sink = sink;
}

static void print_line(bool warning, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void print_line(bool warning, const char *format, va_list args)
{
    char text[2048];
    vsnprintf(text, sizeof text, format, args);
    ex_make_printable(text);
    log_sink(text, warning);
}

void ex_log(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line(false, format, args);
    va_end(args);
}

void ex_log_warn(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line(true, format, args);
    va_end(args);
}

void ex_progress_begin(const char *label, double total, const char *unit)
{
    pthread_mutex_lock(&log_state.lock);
    log_state.active = log_state.level > EX_LOG_QUIET && isatty(STDERR_FILENO);
    snprintf(log_state.label, sizeof log_state.label, "%s", label);
    snprintf(log_state.unit, sizeof log_state.unit, "%s", unit);
    log_state.total = total;
    log_state.done = 0;
    log_state.start = ex_now();
    if (log_state.active)
        draw(log_state.start);
    pthread_mutex_unlock(&log_state.lock);
}

void ex_progress_add(double amount)
{
    pthread_mutex_lock(&log_state.lock);
    log_state.done += amount;
    const double now = ex_now();
    if (log_state.active && now - log_state.drawn >= REDRAW_S)
        draw(now);
    pthread_mutex_unlock(&log_state.lock);
}

void ex_progress_end(void)
{
    pthread_mutex_lock(&log_state.lock);
    if (log_state.active) {
        fputs(CLEAR_LINE, stderr);
        fflush(stderr);
    }
    log_state.active = false;
    pthread_mutex_unlock(&log_state.lock);
}
