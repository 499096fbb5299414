/* Preloaded into a program, kills it just before its n-th change of a file: EXCISE_KILL_AT=n. Where
 * that is a write, half of the bytes still go out. Counted are the calls by which files are
 * written, synced, renamed, cut and removed, and folders made. EXCISE_KILL_COUNT=FILE: the file
 * gets the number of calls when the program ends by itself. */
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))find(#name))

enum { SMALL = 256, SMALL_WRITES = 16 }; /* of the many rows of a table, one in so many counts */

static atomic_int calls, small_writes;

static void *find(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* Whether this is the call that the program is not to survive. */
static int last_call(void)
{
    const char *at = getenv("EXCISE_KILL_AT");
    return atomic_fetch_add(&calls, 1) + 1 == (at ? atoi(at) : 0);
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
    die_here();
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
