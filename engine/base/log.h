/* Log lines and progress on stderr; results go to stdout and never through here.
 *
 * A progress bar with rate and time left is drawn on a terminal only; elsewhere
 * ex_progress_add prints nothing and callers log a line a round. Safe from several threads. */
#ifndef EX_LOG_H
#define EX_LOG_H

#include <stdbool.h>
#include <stddef.h>

typedef enum ex_log_level { EX_LOG_QUIET, EX_LOG_INFO } ex_log_level;

void ex_log_set_level(ex_log_level level);
void ex_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Printed even when quiet. */
void ex_log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Where lines go: to stderr, or from a module's copy of this code (cuda_host.h) to the program's,
 * which alone knows of level and bar. */
typedef void (*ex_log_sink)(const char *text, bool warning);
ex_log_sink ex_log_sink_get(void);
void ex_log_sink_set(ex_log_sink sink);

/* One bar at a time. `unit` is what is counted ("img", "channels"). */
void ex_progress_begin(const char *label, double total, const char *unit);
void ex_progress_add(double amount);
void ex_progress_end(void);

#endif
