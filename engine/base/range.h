/* Named stretches of time for tools that watch from outside: nsys and ncu show them beside the
 * kernels (NVTX). Nothing happens without such a tool, or where NVTX's header was not found. */
#ifndef EX_RANGE_H
#define EX_RANGE_H

/* Opens a range in this thread, named printf-style ("client 7"); ranges nest. */
void ex_range_begin(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Closes the one opened last in this thread. */
void ex_range_end(void);

#endif
