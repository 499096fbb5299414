#include "failing.h"

#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

enum { PLACES = 1 << 16, CALLS = 16, OWN_CALLS = 2, DEPTH_MAX = 64 };

/* What was handed out and not freed, by open addressing: others' blocks are freed here too. */
static void *blocks[PLACES];
static unsigned long sites[EX_ALLOCATION_SITES];
static long asked, fails, live;
static int onwards;            /* those that follow fail too */
static void (*on_first)(void); /* or NULL */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void __real_free(void *block);

static char removed; /* stands where a block was, so that those behind it are found */

static size_t place_of(const void *block)
{
    return ((uintptr_t)block >> 4) * 2654435761u % PLACES;
}

static void *note(void *block)
{
    pthread_mutex_lock(&lock);
    size_t at = place_of(block);
    while (blocks[at] && blocks[at] != &removed)
        at = (at + 1) % PLACES;
    blocks[at] = block;
    live++;
    pthread_mutex_unlock(&lock);
    return block;
}

/* Calls above that of ex_allocation_sites_begin, in its thread: the test's. */
static int above;
static pthread_t begun;

void ex_allocation_sites_begin(void)
{
    void *calls[DEPTH_MAX];
    begun = pthread_self();
    above = backtrace(calls, DEPTH_MAX) - 1;
}

static unsigned long site(void)
{
    void *calls[DEPTH_MAX];
    int count = backtrace(calls, DEPTH_MAX);
    unsigned long hash = 0;
    if (pthread_equal(pthread_self(), begun))
        count -= above;
    for (int i = OWN_CALLS; i < count && i < CALLS; i++)
        hash = (hash ^ (uintptr_t)calls[i]) * 1099511628211u;
    return hash;
}

static int must_fail(void)
{
    const unsigned long from = site();
    pthread_mutex_lock(&lock);
    const int first = ++asked == fails, fail = first || (onwards && asked > fails);
    sites[asked % EX_ALLOCATION_SITES] = from;
    pthread_mutex_unlock(&lock);
    if (first && on_first)
        on_first();
    if (fail)
        errno = ENOMEM;
    return fail;
}

void *__wrap_malloc(size_t bytes)
{
    return must_fail() ? NULL : note(__real_malloc(bytes));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return must_fail() ? NULL : note(__real_calloc(count, size));
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return must_fail() ? NULL : note(__real_aligned_alloc(alignment, bytes));
}

void __wrap_free(void *block)
{
    pthread_mutex_lock(&lock);
    for (size_t at = place_of(block); block && blocks[at]; at = (at + 1) % PLACES)
        if (blocks[at] == block) {
            blocks[at] = &removed;
            live--;
            break;
        }
    pthread_mutex_unlock(&lock);
    __real_free(block);
}

static void configure(long n, int all, void (*first)(void))
{
    pthread_mutex_lock(&lock);
    asked = 0;
    fails = n;
    onwards = all;
    on_first = first;
    pthread_mutex_unlock(&lock);
}

void ex_fail_allocation(long n)
{
    configure(n, 0, NULL);
}

void ex_fail_allocations_from(long n, void (*first)(void))
{
    configure(n, 1, first);
}

long ex_allocations(void)
{
    return asked;
}

unsigned long ex_allocation_site(long n)
{
    return sites[n % EX_ALLOCATION_SITES];
}

long ex_allocations_live(void)
{
    return live;
}
