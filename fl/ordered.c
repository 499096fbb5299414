#include "ordered.h"

#include "base/memory.h"

ex_status ex_ordered_init(ex_ordered *o, int slots)
{
    *o = (ex_ordered){
        .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER, .slots = slots};
    const ex_status status = ex_alloc(&o->ready, (size_t)slots, sizeof *o->ready, "slots");
    if (status != EX_OK)
        ex_ordered_close(o);
    return status;
}

void ex_ordered_close(ex_ordered *o)
{
    pthread_cond_destroy(&o->moved);
    pthread_mutex_destroy(&o->lock);
    ex_free(&o->ready);
}

bool ex_ordered_enter(ex_ordered *o, int item)
{
    pthread_mutex_lock(&o->lock);
    while (item >= o->next + o->slots && !o->given_up)
        pthread_cond_wait(&o->moved, &o->lock);
    /* Items before the one that failed still run, so that the first error is always the same. */
    const bool entered = item < o->next + o->slots;
    pthread_mutex_unlock(&o->lock);
    return entered;
}

void ex_ordered_leave(ex_ordered *o, int item, void (*take)(void *context, int item), void *context)
{
    pthread_mutex_lock(&o->lock);
    o->ready[item % o->slots] = true;
    while (o->ready[o->next % o->slots]) {
        take(context, o->next);
        o->ready[o->next % o->slots] = false;
        o->next++;
    }
    pthread_cond_broadcast(&o->moved);
    pthread_mutex_unlock(&o->lock);
}

void ex_ordered_give_up(ex_ordered *o)
{
    pthread_mutex_lock(&o->lock);
    o->given_up = true;
    pthread_cond_broadcast(&o->moved);
    pthread_mutex_unlock(&o->lock);
}
