/* A lane's pinned memory: what the host gives to the device and takes from it passes through, so
 * that no copy makes the driver wait in secret. */
#include "cuda/lane.h"

#include <string.h>

enum { ALIGN = 64, ROOM_MIN = 1 << 16 };

static size_t rounded(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

void ex_cuda_stage_free(ex_cuda_stage *stage)
{
    if (stage->at)
        (void)cudaFreeHost(stage->at);
    *stage = (ex_cuda_stage){0};
}

static ex_status enlarge(ex_cuda_lane *lane, size_t room)
{
    ex_cuda_stage *s = &lane->stage;
    void *at = NULL;
    EX_TRY(ex_cuda_wait(lane));
    ex_cuda_stage_free(s);
    EX_TRY(ex_cuda_alloc_pinned(&at, room, "the stage of a lane", "lanes or train_samples"));
    *s = (ex_cuda_stage){.at = at, .room = room};
    return EX_OK;
}

/* What was used by now will be again, next time: room for both. */
ex_status ex_cuda_stage_room(ex_cuda_lane *lane, size_t bytes)
{
    const ex_cuda_stage *s = &lane->stage;
    size_t room = s->room ? s->room : ROOM_MIN;
    if (s->used + bytes <= s->room)
        return EX_OK;
    while (room < s->used + bytes)
        room *= 2;
    return enlarge(lane, room);
}

ex_status ex_cuda_stage_take(void *out, ex_cuda_lane *lane, size_t bytes)
{
    ex_cuda_stage *s = &lane->stage;
    const size_t wanted = rounded(bytes);
    if (wanted > s->room)
        EX_TRY(enlarge(lane, wanted));
    if (s->used + wanted > s->room)
        EX_TRY(ex_cuda_wait(lane));
    char *const at = s->at + s->used;
    s->used += wanted;
    memcpy(out, &at, sizeof at);
    return EX_OK;
}

/* The next part of what has `left` bytes, as much as the stage holds. */
static size_t part_of(const ex_cuda_lane *lane, size_t left)
{
    const size_t room = lane->stage.room ? lane->stage.room : ROOM_MIN;
    return left < room ? left : room;
}

ex_status ex_cuda_send(ex_cuda_lane *lane, void *to, const void *from, size_t bytes)
{
    char *host;
    for (size_t at = 0, part; at < bytes; at += part) {
        part = part_of(lane, bytes - at);
        EX_TRY(ex_cuda_stage_take(&host, lane, part));
        memcpy(host, (const char *)from + at, part);
        EX_TRY(ex_cuda_copy(lane, (char *)to + at, host, part));
    }
    return EX_OK;
}

ex_status ex_cuda_fetch(ex_cuda_lane *lane, void *to, const void *from, size_t bytes)
{
    char *host;
    for (size_t at = 0, part; at < bytes; at += part) {
        part = part_of(lane, bytes - at);
        EX_TRY(ex_cuda_stage_take(&host, lane, part));
        EX_TRY(ex_cuda_copy(lane, host, (const char *)from + at, part));
        EX_TRY(ex_cuda_wait(lane));
        memcpy((char *)to + at, host, part);
    }
    return EX_OK;
}
