#include "base/memory.h"

#include "base/bytes.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum {
    ALIGNMENT = 64,
    HUGE_PAGE = 2 << 20,
    HUGE_MIN = 8 * HUGE_PAGE, /* what a page that is not filled adds to less is not worth it */
};

/* Memory that is read from end to end in every step comes in huge pages where the system gives them
 * to who asks: with 4 KiB a translation is looked up for every few lines of a map, which costs a
 * training step of resnet20 3 to 5 % in a virtual machine. */
static void *take(size_t bytes)
{
    const size_t whole = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    void *memory;
    if (bytes < HUGE_MIN || whole < bytes)
        return aligned_alloc(ALIGNMENT, bytes ? bytes : ALIGNMENT);
    memory = aligned_alloc(HUGE_PAGE, whole);
    if (memory)
        madvise(memory, whole, MADV_HUGEPAGE); /* refused: pages as they are */
    return memory;
}

ex_status ex_alloc(void *out, size_t count, size_t size, const char *what)
{
    void *memory = NULL;
    memcpy(out, &memory, sizeof memory);
    if (size && count > (SIZE_MAX - ALIGNMENT) / size)
        return EX_FAIL(EX_ERR_MEMORY, "%s: %zu elements of %zu bytes overflow", what, count, size);
    const size_t bytes = (count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    memory = take(bytes);
    if (!memory) {
        char text[EX_BYTES_ROOM];
        return EX_FAIL(EX_ERR_MEMORY,
                       "%s: %s of memory are not to be had; free some, or lower train_samples "
                       "(data), batch_size or lanes (training)",
                       what, ex_bytes_text(text, (double)bytes));
    }
    memset(memory, 0, bytes);
    memcpy(out, &memory, sizeof memory);
    return EX_OK;
}

ex_status ex_grow(void *list, int count, int *room, int first, size_t size, const char *what)
{
    void *old, *grown;
    if (count < *room)
        return EX_OK;
    const int wanted = *room ? 2 * *room : first;
    memcpy(&old, list, sizeof old);
    EX_TRY(ex_alloc(&grown, (size_t)wanted, size, what));
    if (old)
        memcpy(grown, old, (size_t)count * size);
    memcpy(list, &grown, sizeof grown);
    ex_free(&old);
    *room = wanted;
    return EX_OK;
}

ex_status ex_text_copy(char **out, const char *text, size_t most, const char *what)
{
    const size_t length = strnlen(text, most);
    EX_TRY(ex_alloc(out, length + 1, 1, what));
    memcpy(*out, text, length);
    return EX_OK;
}

void ex_free(void *pointer)
{
    void *memory;
    memcpy(&memory, pointer, sizeof memory);
    free(memory);
    memory = NULL;
    memcpy(pointer, &memory, sizeof memory);
}

size_t ex_memory_peak(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (size_t)usage.ru_maxrss * 1024 : 0;
}
