/* The buffers of a plan, and where they lie: what back ends share that keep a lane's scratch memory
 * for all of its plans.
 *
 * A plan is a list of steps. A buffer is live from the first step that names it to the last;
 * buffers that are never live at the same time share memory. Memory is not allocated here. */
#ifndef EX_PLAN_BUFFERS_H
#define EX_PLAN_BUFFERS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* A place in a buffer. Negative buffers name memory that no plan owns: of the lane, or none. */
typedef struct ex_buffer_ref {
    int buffer;
    size_t offset; /* in floats */
} ex_buffer_ref;

enum { EX_BUFFER_PARAMS = -3, EX_BUFFER_STATS = -2, EX_BUFFER_NOTHING = -1 };

typedef struct ex_plan_buffer {
    size_t bytes, offset;
    int first, last; /* steps; first > last: never used */
    bool own;        /* in the plan's memory instead of the arena: survives other plans */
    bool keep;       /* lives to the end of the plan */
} ex_plan_buffer;

typedef struct ex_plan_buffers {
    ex_plan_buffer *list;
    int count, room;
    size_t arena_bytes, own_bytes; /* needed; filled by ex_plan_buffers_place */
} ex_plan_buffers;

/* A new buffer; its bytes are rounded up to a multiple of `align`. */
ex_status ex_plan_buffers_add(ex_plan_buffers *buffers, size_t bytes, size_t align,
                              ex_buffer_ref *out);
/* Notes that step `step` names the buffer; places that no plan owns are passed over. */
void ex_plan_buffers_use(ex_plan_buffers *buffers, ex_buffer_ref ref, int step);
/* Gives every buffer its offset, for a plan of `steps` steps. */
ex_status ex_plan_buffers_place(ex_plan_buffers *buffers, int steps);
/* Where a plan's place lies, given where its memory and the lane's arena begin. */
void *ex_plan_buffers_at(const ex_plan_buffers *buffers, ex_buffer_ref ref, char *own, char *arena);
void ex_plan_buffers_free(ex_plan_buffers *buffers);

#endif
