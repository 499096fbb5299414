/* Preloaded into a program, has no memory for its n-th allocation of at least so many bytes:
 * EXCISE_OOM_AT=n, EXCISE_OOM_LEAST=bytes. Libraries' own allocations count too. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static atomic_long asked;
static long at, least; /* at 0: nothing fails, as in what runs before the constructor */

static void configure(void) __attribute__((constructor));

static void configure(void)
{
    const char *when = getenv("EXCISE_OOM_AT"), *size = getenv("EXCISE_OOM_LEAST");
    least = size ? atol(size) : 0;
    at = when ? atol(when) : 0;
}

static int must_fail(size_t bytes)
{
    if (!at || (long)bytes < least || atomic_fetch_add(&asked, 1) + 1 != at)
        return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t bytes)
{
    return must_fail(bytes) ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t size)
{
    return must_fail(count * size) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t bytes)
{
    return must_fail(bytes) ? NULL : __libc_realloc(old, bytes);
}

void *memalign(size_t alignment, size_t bytes)
{
    return must_fail(bytes) ? NULL : __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    return memalign(alignment, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    void *memory = memalign(alignment, bytes);
    if (!memory)
        return ENOMEM;
    *out = memory;
    return 0;
}
