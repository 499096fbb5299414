/* Placing buffers: largest first, each at the lowest offset where it overlaps no buffer that is
 * live at the same time. */
#include "plan_buffers.h"

#include "base/memory.h"

#include <limits.h>
#include <stdlib.h>

enum { FIRST_ROOM = 64 };

ex_status ex_plan_buffers_add(ex_plan_buffers *buffers, size_t bytes, size_t align,
                              ex_buffer_ref *out)
{
    EX_TRY(ex_grow(&buffers->list, buffers->count, &buffers->room, FIRST_ROOM,
                   sizeof *buffers->list, "buffers of a plan"));
    *out = (ex_buffer_ref){.buffer = buffers->count};
    buffers->list[buffers->count++] = (ex_plan_buffer){
        .bytes = (bytes + align - 1) / align * align, .first = INT_MAX, .last = -1};
    return EX_OK;
}

void ex_plan_buffers_use(ex_plan_buffers *buffers, ex_buffer_ref ref, int step)
{
    if (ref.buffer < 0)
        return;
    ex_plan_buffer *b = &buffers->list[ref.buffer];
    b->first = b->first < step ? b->first : step;
    b->last = b->last > step ? b->last : step;
}

static bool live_together(const ex_plan_buffer *a, const ex_plan_buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static size_t lowest_offset(const ex_plan_buffer *b, ex_plan_buffer *const *placed, int count)
{
    size_t offset = 0;
    for (int i = 0; i < count; i++) {
        const ex_plan_buffer *p = placed[i];
        if (live_together(b, p) && offset < p->offset + p->bytes && p->offset < offset + b->bytes) {
            offset = p->offset + p->bytes;
            i = -1; /* what was passed before may be in the way now */
        }
    }
    return offset;
}

static int larger_first(const void *left, const void *right)
{
    const ex_plan_buffer *a = *(ex_plan_buffer *const *)left, *b = *(ex_plan_buffer *const *)right;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a < b ? -1 : a > b; /* qsort is not stable */
}

ex_status ex_plan_buffers_place(ex_plan_buffers *buffers, int steps)
{
    ex_plan_buffer **shared;
    int count = 0;
    EX_TRY(ex_alloc(&shared, (size_t)buffers->count, sizeof *shared, "placing buffers"));
    buffers->arena_bytes = buffers->own_bytes = 0;
    for (int i = 0; i < buffers->count; i++) {
        ex_plan_buffer *b = &buffers->list[i];
        if (b->keep)
            b->last = steps;
        if (b->own) {
            b->offset = buffers->own_bytes;
            buffers->own_bytes += b->bytes;
        } else if (b->first <= b->last) {
            shared[count++] = b;
        }
    }
    qsort(shared, (size_t)count, sizeof *shared, larger_first);
    for (int i = 0; i < count; i++) {
        ex_plan_buffer *b = shared[i];
        b->offset = lowest_offset(b, shared, i);
        if (buffers->arena_bytes < b->offset + b->bytes)
            buffers->arena_bytes = b->offset + b->bytes;
    }
    ex_free(&shared);
    return EX_OK;
}

void *ex_plan_buffers_at(const ex_plan_buffers *buffers, ex_buffer_ref ref, char *own, char *arena)
{
    const ex_plan_buffer *b = &buffers->list[ref.buffer];
    return (b->own ? own : arena) + b->offset + ref.offset * sizeof(float);
}

void ex_plan_buffers_free(ex_plan_buffers *buffers)
{
    ex_free(&buffers->list);
    *buffers = (ex_plan_buffers){0};
}
