/* Results that lanes finish in any order, taken in the order of their items.
 *
 * Item i works in slot i % slots, and may begin once item i - slots has been taken; the first item
 * that is not taken yet always has its slot, so nobody waits for ever. With one slot more than
 * lanes a lane that is ahead of its neighbours goes on for one more item before it waits. */
#ifndef EX_ORDERED_H
#define EX_ORDERED_H

#include "base/status.h"

#include <pthread.h>
#include <stdbool.h>

typedef struct ex_ordered {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    int slots, next; /* next: the first item not taken yet */
    bool given_up;
    bool *ready; /* (slots) */
} ex_ordered;

ex_status ex_ordered_init(ex_ordered *o, int slots);
void ex_ordered_close(ex_ordered *o);
/* Waits for the item's slot; false if an item failed before it was free, and there is nothing left
 * to do. */
bool ex_ordered_enter(ex_ordered *o, int item);
/* The item's result is in its slot. Calls take(context, i) for each item i whose turn has come, one
 * call at a time. */
void ex_ordered_leave(ex_ordered *o, int item, void (*take)(void *context, int item),
                      void *context);
/* An item failed: nobody waits any longer for what cannot come. */
void ex_ordered_give_up(ex_ordered *o);

#endif
