/* Preloaded into a program, cuts a file between its opening and its first read, to a half of its
 * size: EXCISE_SHRINK=PATH, absolute. */
#include <dlfcn.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_int done;

static void shrink(int fd)
{
    const char *victim = getenv("EXCISE_SHRINK");
    char link[64], path[PATH_MAX];
    struct stat info;
    if (!victim || atomic_load(&done))
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return;
    path[length] = '\0';
    if (strcmp(path, victim) != 0 || fstat(fd, &info) != 0 || atomic_exchange(&done, 1))
        return;
    if (truncate(path, info.st_size / 2) != 0)
        abort();
}

size_t fread(void *data, size_t size, size_t count, FILE *stream)
{
    size_t (*real)(void *, size_t, size_t, FILE *) =
        (size_t(*)(void *, size_t, size_t, FILE *))dlsym(RTLD_NEXT, "fread");
    shrink(fileno(stream));
    return real(data, size, count, stream);
}

ssize_t read(int fd, void *data, size_t bytes)
{
    ssize_t (*real)(int, void *, size_t) =
        (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    shrink(fd);
    return real(fd, data, bytes);
}
