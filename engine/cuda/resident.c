/* Data sets on the device: a set's bytes are uploaded once and kept as long as the device is open.
 * A set is known by where its images lie, how many they are, and its generation; where it has none,
 * by a digest of all bytes, at each use. One that lies where another lay takes its place: there is
 * no host copy of that any more. */
#include "base/memory.h"
#include "cuda/cuda_impl.h"

#include <string.h>

enum { FIRST_ROOM = 4, WORDS = 4 };

static uint64_t mixed(uint64_t h, uint64_t word)
{
    h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 32;
}

/* Of every byte, in several sums at once so that memory alone sets the pace. */
static uint64_t digest_of(const uint8_t *images, size_t bytes)
{
    uint64_t sum[WORDS] = {1, 2, 3, 4}, word[WORDS], tail = bytes;
    size_t at = 0;
    for (; at + sizeof word <= bytes; at += sizeof word) {
        memcpy(word, images + at, sizeof word);
        for (int i = 0; i < WORDS; i++)
            sum[i] = mixed(sum[i], word[i]);
    }
    for (; at < bytes; at++)
        tail = mixed(tail, images[at]);
    for (int i = 0; i < WORDS; i++)
        tail = mixed(tail, sum[i]);
    return tail;
}

/* What lies where the wanted set does, or did. */
static ex_cuda_resident *find(ex_cuda_device *device, const ex_cuda_resident *wanted)
{
    for (int i = 0; i < device->resident_count; i++) {
        ex_cuda_resident *r = &device->resident[i];
        if (r->images == wanted->images && r->count == wanted->count && r->bytes == wanted->bytes)
            return r;
    }
    return NULL;
}

static bool is_same(const ex_cuda_resident *a, const ex_cuda_resident *b)
{
    return a->generation == b->generation && a->digest == b->digest;
}

/* r->at "=" the bytes. Other lanes read them as soon as they are listed: they have to be there by
 * then. */
static ex_status send_bytes(ex_cuda_lane *lane, ex_cuda_resident *r)
{
    ex_status status;
    EX_TRY(ex_cuda_alloc(&r->at, r->bytes, "the data set", EX_CUDA_LESS_DATA));
    EX_TRY_GOTO(
        EX_CUDA(cudaMemcpyAsync(r->at, r->images, r->bytes, cudaMemcpyHostToDevice, lane->stream)),
        fail);
    EX_TRY_GOTO(ex_cuda_wait(lane), fail);
    return EX_OK;
fail:
    ex_cuda_free(&r->at);
    return status;
}

static ex_status upload(ex_cuda_lane *lane, ex_cuda_resident *r)
{
    ex_cuda_device *device = lane->device;
    EX_TRY(ex_grow(&device->resident, device->resident_count, &device->resident_room, FIRST_ROOM,
                   sizeof *device->resident, "data sets on the GPU"));
    EX_TRY(send_bytes(lane, r));
    device->resident[device->resident_count++] = *r;
    return EX_OK;
}

/* Work that is queued reads what was there: cudaFree waits for it. */
static ex_status replace(ex_cuda_lane *lane, ex_cuda_resident *old, ex_cuda_resident *r)
{
    ex_cuda_free(&old->at);
    old->images = NULL; /* in the list, and found by nobody */
    EX_TRY(send_bytes(lane, r));
    *old = *r;
    return EX_OK;
}

ex_status ex_cuda_images(const uint8_t **out, ex_cuda_lane *lane, const ex_dataset *data)
{
    const size_t bytes =
        data->count * (size_t)data->channels * (size_t)data->height * (size_t)data->width;
    ex_cuda_resident wanted = {.images = data->images,
                               .count = data->count,
                               .bytes = bytes,
                               .generation = data->generation,
                               .digest = data->generation ? 0 : digest_of(data->images, bytes)};
    ex_status status = EX_OK;
    pthread_mutex_lock(&lane->device->lock);
    ex_cuda_resident *have = find(lane->device, &wanted);
    if (!have)
        status = upload(lane, &wanted);
    else if (!is_same(have, &wanted))
        status = replace(lane, have, &wanted);
    *out = have ? have->at : wanted.at;
    pthread_mutex_unlock(&lane->device->lock);
    return status;
}

void ex_cuda_resident_free(ex_cuda_device *device)
{
    for (int i = 0; i < device->resident_count; i++)
        ex_cuda_free(&device->resident[i].at);
    ex_free(&device->resident);
}
