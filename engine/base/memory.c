#include "base/memory.h"

#include "base/bytes.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { ALIGNMENT = 64 };

ex_status ex_alloc(void *out, size_t count, size_t size, const char *what)
{
    void *memory = NULL;
    memcpy(out, &memory, sizeof memory);
    if (size && count > (SIZE_MAX - ALIGNMENT) / size)
        return EX_FAIL(EX_ERR_MEMORY, "%s: %zu elements of %zu bytes overflow", what, count, size);
    const size_t bytes = (count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    memory = aligned_alloc(ALIGNMENT, bytes ? bytes : ALIGNMENT);
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
