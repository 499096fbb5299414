/* Preloaded into a program, kills it just before its n-th change of a file: EXCISE_KILL_AT=n. Where
 * that is a write, half of the bytes still go out. Counted are the calls by which files are
 * written, synced, renamed, cut and removed, and folders made. EXCISE_KILL_LINE=n counts formatted
 * lines alone, EXCISE_KILL_PRUNE=n removals of checkpoints. EXCISE_KILL_COUNT=FILE: the file gets the
 * number of calls when the program ends by itself. */
#include <dlfcn.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))find(#name))

enum { SMALL = 256, SMALL_WRITES = 16 }; /* of the many rows of a table, one in so many counts */

static atomic_int calls, small_writes, lines, prunes;

static void *find(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* Counts on, up to the number that the environment names. */
static int reaches(atomic_int *count, const char *name)
{
    const char *at = getenv(name);
    return atomic_fetch_add(count, 1) + 1 == (at ? atoi(at) : 0);
}

/* Whether this is the call that the program is not to survive. */
static int last_call(void)
{
    return reaches(&calls, "EXCISE_KILL_AT");
}

static int last_line(void)
{
    const int line = reaches(&lines, "EXCISE_KILL_LINE");
    return last_call() || line;
}

static int last_removal(const char *path)
{
    const int prune = strstr(path, "/round-") && reaches(&prunes, "EXCISE_KILL_PRUNE");
    return last_call() || prune;
}

static void die_here(void)
{
    if (last_call())
        raise(SIGKILL);
}

static void write_count(void) __attribute__((destructor));

static void write_count(void)
{
    const char *path = getenv("EXCISE_KILL_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) {
        fprintf(file, "%d\n", atomic_load(&calls));
        fclose(file);
    }
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *stream)
{
    size_t (*real)(const void *, size_t, size_t, FILE *) =
        REAL(size_t, fwrite, const void *, size_t, size_t, FILE *);
    const int small = size * count < SMALL && atomic_fetch_add(&small_writes, 1) % SMALL_WRITES;
    if (stream == stdout || stream == stderr || small)
        return real(data, size, count, stream);
    if (last_call()) {
        real(data, 1, size * count / 2, stream);
        fflush(stream);
        raise(SIGKILL);
    }
    return real(data, size, count, stream);
}

/* By which a line of metrics.jsonl is written. A stream in memory has no number, and is no file. */
static int print(FILE *stream, const char *format, va_list arguments)
{
    char *text;
    const int length = vasprintf(&text, format, arguments);
    if (length >= 0 && fileno(stream) > STDERR_FILENO && last_line()) {
        text[length / 2] = '\0';
        fputs(text, stream);
        REAL(int, fflush, FILE *)(stream);
        raise(SIGKILL);
    }
    if (length < 0)
        return length;
    const int written = fputs(text, stream);
    free(text);
    return written < 0 ? written : length;
}

int fprintf(FILE *stream, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = print(stream, format, arguments);
    va_end(arguments);
    return length;
}

/* The same where the compiler checks formats (_FORTIFY_SOURCE). */
int __fprintf_chk(FILE *stream, int flag, const char *format, ...)
{
    va_list arguments;
    (void)flag;
    va_start(arguments, format);
    const int length = print(stream, format, arguments);
    va_end(arguments);
    return length;
}

int fflush(FILE *stream)
{
    if (stream != stdout && stream != stderr)
        die_here();
    return REAL(int, fflush, FILE *)(stream);
}

int fsync(int fd)
{
    die_here();
    return REAL(int, fsync, int)(fd);
}

int rename(const char *from, const char *to)
{
    die_here();
    return REAL(int, rename, const char *, const char *)(from, to);
}

int unlink(const char *path)
{
    if (last_removal(path))
        raise(SIGKILL);
    return REAL(int, unlink, const char *)(path);
}

int truncate(const char *path, off_t length)
{
    die_here();
    return REAL(int, truncate, const char *, off_t)(path, length);
}

int mkdir(const char *path, mode_t mode)
{
    die_here();
    return REAL(int, mkdir, const char *, mode_t)(path, mode);
}
