/* Samples of a run on their way to the device, and what comes back for each of them: one upload and
 * one download a run. */
#include "cuda/cuda_impl.h"

#include <string.h>

void ex_cuda_feed_free(ex_cuda_feed *feed)
{
    ex_cuda_free(&feed->memory);
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

/* Room for so many samples; a lane's lists are replaced. */
static ex_status make_room(ex_cuda_lane *lane, size_t count)
{
    ex_cuda_feed *f = &lane->feed;
    const size_t room = room_for(count);
    if (count <= f->room)
        return EX_OK;
    EX_TRY(ex_cuda_wait(lane));
    ex_cuda_feed_free(f);
    EX_TRY(ex_cuda_alloc(
        &f->memory,
        room * (sizeof *f->index + sizeof *f->loss + sizeof *f->predicted + sizeof *f->label),
        "samples of a run", "lanes or train_samples"));
    f->index = f->memory;
    f->loss = (float *)(f->index + room);
    f->predicted = (int32_t *)(f->loss + room);
    f->label = (uint16_t *)(f->predicted + room);
    f->room = room;
    return EX_OK;
}

/* What a run takes of the stage, each part rounded up: the four lists, and beside them what follows
 * in the same run (constants, state, logits), with room for more. Were it too little, the stage
 * would wait and begin anew over losses that nobody has read. */
static size_t staged(size_t samples)
{
    enum { PARTS = 16, ROUNDING = 64 };
    const ex_cuda_feed *f;
    return samples *
               (sizeof *f->index + sizeof *f->label + sizeof *f->loss + sizeof *f->predicted) +
           PARTS * ROUNDING;
}

static size_t whole_batches(size_t samples, size_t batch)
{
    return (samples + batch - 1) / batch * batch;
}

ex_status ex_cuda_feed_reserve(ex_cuda_lane *lane, size_t samples)
{
    const ex_model *m = lane->core.base.model;
    EX_TRY(make_room(lane, samples));
    return ex_cuda_stage_room(lane, (m->param_count + m->stat_count) * sizeof(float) + staged(0) +
                                        staged(samples));
}

ex_status ex_cuda_feed_upload(ex_cuda_lane *lane, const ex_samples *feed, size_t batch, size_t more)
{
    const size_t count = feed->count, padded = whole_batches(count, batch);
    ex_cuda_feed *f = &lane->feed;
    uint32_t *index;
    uint16_t *label;
    EX_TRY(make_room(lane, padded));
    EX_TRY(ex_cuda_stage_room(lane, staged(padded) + more));
    if (count == 0)
        return EX_OK;
    EX_TRY(ex_cuda_stage_take(&index, lane, padded * sizeof *index));
    EX_TRY(ex_cuda_stage_take(&label, lane, padded * sizeof *label));
    EX_TRY(ex_cuda_stage_take(&f->host_loss, lane, count * sizeof *f->host_loss));
    EX_TRY(ex_cuda_stage_take(&f->host_predicted, lane, count * sizeof *f->host_predicted));
    memcpy(index, feed->index, count * sizeof *index);
    memcpy(label, feed->label, count * sizeof *label);
    for (size_t i = count; i < padded; i++) {
        index[i] = feed->index[count - 1];
        label[i] = feed->label[count - 1];
    }
    EX_TRY(ex_cuda_copy(lane, f->index, index, padded * sizeof *index));
    return ex_cuda_copy(lane, f->label, label, padded * sizeof *label);
}

ex_status ex_cuda_feed_read(ex_cuda_lane *lane, size_t count)
{
    ex_cuda_feed *f = &lane->feed;
    EX_TRY(ex_cuda_copy(lane, f->host_loss, f->loss, count * sizeof *f->loss));
    EX_TRY(ex_cuda_copy(lane, f->host_predicted, f->predicted, count * sizeof *f->predicted));
    return ex_cuda_wait(lane);
}
