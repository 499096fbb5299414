/* Samples of a run on their way to the device, and what comes back for each of them: one upload and
 * one download a run. */
#include "base/memory.h"
#include "cuda/cuda_impl.h"

#include <string.h>

void ex_cuda_feed_free(ex_cuda_feed *feed)
{
    ex_cuda_free(&feed->memory);
    ex_cuda_free(&feed->logits);
    ex_free(&feed->host_index);
    ex_free(&feed->host_label);
    ex_free(&feed->host_loss);
    ex_free(&feed->host_predicted);
    *feed = (ex_cuda_feed){0};
}

/* Rounded up, so that feeds of about one size share the room. */
static size_t room_for(size_t count)
{
    size_t room = 1024;
    while (room < count)
        room *= 2;
    return room;
}

ex_status ex_cuda_feed_room(ex_cuda_lane *lane, size_t count)
{
    ex_cuda_feed *f = &lane->feed;
    const size_t room = room_for(count);
    ex_status status;
    if (count <= f->room)
        return EX_OK;
    EX_TRY(ex_cuda_wait(lane));
    ex_cuda_feed_free(f);
    EX_TRY_GOTO(ex_cuda_alloc(&f->memory, lane->device,
                              room * (sizeof *f->index + sizeof *f->loss + sizeof *f->predicted +
                                      sizeof *f->label),
                              "samples of a run"),
                fail);
    f->index = f->memory;
    f->loss = (float *)(f->index + room);
    f->predicted = (int32_t *)(f->loss + room);
    f->label = (uint16_t *)(f->predicted + room);
    EX_TRY_GOTO(ex_alloc(&f->host_index, room, sizeof *f->host_index, "samples of a run"), fail);
    EX_TRY_GOTO(ex_alloc(&f->host_label, room, sizeof *f->host_label, "samples of a run"), fail);
    EX_TRY_GOTO(ex_alloc(&f->host_loss, room, sizeof *f->host_loss, "losses of a run"), fail);
    EX_TRY_GOTO(ex_alloc(&f->host_predicted, room, sizeof *f->host_predicted, "predictions"), fail);
    f->room = room;
    return EX_OK;
fail:
    ex_cuda_feed_free(f);
    return status;
}

ex_status ex_cuda_feed_upload(ex_cuda_lane *lane, const ex_samples *feed, size_t batch)
{
    const size_t count = feed->count, padded = (count + batch - 1) / batch * batch;
    ex_cuda_feed *f = &lane->feed;
    EX_TRY(ex_cuda_feed_room(lane, padded));
    if (count == 0)
        return EX_OK;
    memcpy(f->host_index, feed->index, count * sizeof *feed->index);
    memcpy(f->host_label, feed->label, count * sizeof *feed->label);
    for (size_t i = count; i < padded; i++) {
        f->host_index[i] = feed->index[count - 1];
        f->host_label[i] = feed->label[count - 1];
    }
    EX_TRY(ex_cuda_copy(lane, f->index, f->host_index, padded * sizeof *f->index));
    return ex_cuda_copy(lane, f->label, f->host_label, padded * sizeof *f->label);
}

ex_status ex_cuda_feed_logits(ex_cuda_lane *lane, size_t floats)
{
    ex_cuda_feed *f = &lane->feed;
    if (floats <= f->logits_room)
        return EX_OK;
    EX_TRY(ex_cuda_wait(lane));
    ex_cuda_free(&f->logits);
    f->logits_room = 0;
    EX_TRY(ex_cuda_alloc(&f->logits, lane->device, floats * sizeof *f->logits, "logits of a run"));
    f->logits_room = floats;
    return EX_OK;
}

ex_status ex_cuda_feed_read(ex_cuda_lane *lane, size_t count)
{
    ex_cuda_feed *f = &lane->feed;
    EX_TRY(ex_cuda_copy(lane, f->host_loss, f->loss, count * sizeof *f->loss));
    EX_TRY(ex_cuda_copy(lane, f->host_predicted, f->predicted, count * sizeof *f->predicted));
    return ex_cuda_wait(lane);
}
