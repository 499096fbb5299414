/* Lanes that fork from a plan of another lane: their reads come after what the plan ran, and what
 * it runs next after their reads. Among themselves the lanes wait for nothing.
 *
 * The plan marks the end of each run by one event, which every fork waits for; each lane marks the
 * end of its reads by an event of its own. */
#include "base/memory.h"
#include "cuda/cuda_impl.h"

enum { FIRST_ROOM = 4 };

typedef struct reader {
    const ex_cuda_lane *lane;
    cudaEvent_t read;
    bool waits; /* the plan's next run has to wait for the event */
} reader;

struct ex_cuda_readers {
    pthread_mutex_t lock; /* of the list: lanes have threads of their own */
    cudaEvent_t ran;
    reader *list;
    int count, room;
};

static ex_status make_event(cudaEvent_t *out)
{
    return EX_CUDA(cudaEventCreateWithFlags(out, cudaEventDisableTiming));
}

ex_status ex_cuda_readers_create(ex_cuda_readers **out)
{
    EX_TRY(ex_alloc(out, 1, sizeof **out, "lanes that fork"));
    pthread_mutex_init(&(*out)->lock, NULL);
    return make_event(&(*out)->ran);
}

void ex_cuda_readers_destroy(ex_cuda_readers **readers)
{
    ex_cuda_readers *r = *readers;
    if (!r)
        return;
    if (r->ran)
        (void)cudaEventDestroy(r->ran);
    for (int i = 0; i < r->count; i++)
        (void)cudaEventDestroy(r->list[i].read);
    pthread_mutex_destroy(&r->lock);
    ex_free(&r->list);
    ex_free(readers);
}

ex_status ex_cuda_readers_ran(const ex_cuda_plan *plan)
{
    return plan->readers ? EX_CUDA(cudaEventRecord(plan->readers->ran, plan->lane->stream)) : EX_OK;
}

ex_status ex_cuda_readers_wait(const ex_cuda_plan *plan)
{
    ex_cuda_readers *r = plan->readers;
    ex_status status = EX_OK;
    if (!r)
        return EX_OK;
    pthread_mutex_lock(&r->lock);
    for (int i = 0; i < r->count && status == EX_OK; i++) {
        if (!r->list[i].waits)
            continue;
        status = EX_CUDA(cudaStreamWaitEvent(plan->lane->stream, r->list[i].read, 0));
        r->list[i].waits = status != EX_OK;
    }
    pthread_mutex_unlock(&r->lock);
    return status;
}

ex_status ex_cuda_readers_begin(const ex_cuda_plan *plan, const ex_cuda_lane *lane)
{
    if (plan->lane == lane)
        return EX_OK;
    return EX_CUDA(cudaStreamWaitEvent(lane->stream, plan->readers->ran, 0));
}

/* The lane's place in the list, made when it first forks. The lock is held. */
static ex_status place_of(reader **out, ex_cuda_readers *r, const ex_cuda_lane *lane)
{
    reader made = {.lane = lane};
    for (int i = 0; i < r->count; i++)
        if (r->list[i].lane == lane) {
            *out = &r->list[i];
            return EX_OK;
        }
    EX_TRY(ex_grow(&r->list, r->count, &r->room, FIRST_ROOM, sizeof *r->list, "lanes that fork"));
    EX_TRY(make_event(&made.read));
    *out = &r->list[r->count++];
    **out = made;
    return EX_OK;
}

ex_status ex_cuda_readers_end(const ex_cuda_plan *plan, const ex_cuda_lane *lane)
{
    reader *place;
    if (plan->lane == lane)
        return EX_OK;
    pthread_mutex_lock(&plan->readers->lock);
    ex_status status = place_of(&place, plan->readers, lane);
    if (status == EX_OK)
        status = EX_CUDA(cudaEventRecord(place->read, lane->stream));
    if (status == EX_OK)
        place->waits = true;
    pthread_mutex_unlock(&plan->readers->lock);
    return status;
}
