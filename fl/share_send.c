/* What a round needs, from rank 0 to the others. */
#include "share_impl.h"

#include "base/memory.h"

#include <string.h>

ex_status ex_share_send_values(ex_federation *f)
{
    const size_t params = f->model->param_count * sizeof(float);
    EX_TRY(ex_comm_broadcast(f->comm, f->params, params, 0));
    if (f->velocity)
        EX_TRY(ex_comm_broadcast(f->comm, f->velocity, params, 0));
    return ex_comm_broadcast(f->comm, f->stats, f->model->stat_count * sizeof *f->stats, 0);
}

ex_status ex_share_copy_mask(ex_share *s, const ex_model *model, const uint8_t *selected)
{
    ex_mask_destroy(&s->mask);
    if (!selected)
        return EX_OK;
    EX_TRY(ex_mask_create(&s->mask, model));
    memcpy(s->mask->selected, selected, (size_t)model->channel_count);
    return ex_mask_seal(s->mask);
}

/* A mask counts its channels by adding them up. */
static ex_status check_selected(const uint8_t *selected, size_t channels)
{
    for (size_t c = 0; c < channels; c++)
        if (selected[c] > 1)
            return EX_FAIL(EX_ERR_INTERNAL,
                           "rank 0 tells of a mask with %d for channel %zu; 0 or 1 are expected",
                           selected[c], c);
    return EX_OK;
}

ex_status ex_share_send_mask(ex_federation *f)
{
    const size_t channels = (size_t)f->model->channel_count;
    uint8_t *selected;
    EX_TRY(ex_alloc(&selected, channels, 1, "mask"));
    if (ex_comm_rank(f->comm) == 0)
        memcpy(selected, f->share->mask->selected, channels);
    ex_status status = ex_comm_broadcast(f->comm, selected, channels, 0);
    if (status == EX_OK)
        status = check_selected(selected, channels);
    if (status == EX_OK && ex_comm_rank(f->comm) != 0)
        status = ex_share_copy_mask(f->share, f->model, selected);
    ex_free(&selected);
    return status;
}

/* All clients' samples, one after the other. */
typedef struct samples_block {
    int64_t *count; /* (clients) */
    ex_samples all;
} samples_block;

static void copy_samples(ex_samples *to, size_t at, const ex_samples *from, size_t first,
                         size_t count)
{
    memcpy(to->index + at, from->index + first, count * sizeof *to->index);
    memcpy(to->label + at, from->label + first, count * sizeof *to->label);
}

ex_status ex_share_check_counts(size_t *total, const int64_t *count, int clients, size_t most)
{
    *total = 0;
    for (int i = 0; i < clients; i++) {
        if (count[i] < 0 || (uint64_t)count[i] > most || (size_t)count[i] > SIZE_MAX - *total)
            return EX_FAIL(EX_ERR_INTERNAL,
                           "rank 0 tells of %lld samples of client %d; 0 to %zu are expected",
                           (long long)count[i], i, most);
        *total += (size_t)count[i];
    }
    return EX_OK;
}

ex_status ex_share_check_samples(const ex_samples *s, const ex_dataset *data)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->index[i] >= data->count || s->label[i] >= data->classes)
            return EX_FAIL(EX_ERR_INTERNAL,
                           "rank 0 tells of sample %lu of class %u; there are %zu of %d classes",
                           (unsigned long)s->index[i], s->label[i], data->count, data->classes);
    return EX_OK;
}

static ex_status unpack_clients(ex_samples *out, const samples_block *b, int clients)
{
    size_t at = 0;
    for (int i = 0; i < clients; i++) {
        const size_t count = (size_t)b->count[i];
        ex_samples_free(&out[i]);
        EX_TRY(ex_samples_alloc(&out[i], count));
        copy_samples(&out[i], 0, &b->all, at, count);
        at += count;
    }
    return EX_OK;
}

static ex_status send_block(ex_federation *f, samples_block *b, const ex_samples *clients)
{
    const int n = f->config.num_clients;
    const ex_dataset *data = &f->data->train;
    size_t total, at = 0;
    for (int i = 0; clients && i < n; i++)
        b->count[i] = (int64_t)clients[i].count;
    EX_TRY(ex_comm_broadcast(f->comm, b->count, (size_t)n * sizeof *b->count, 0));
    EX_TRY(ex_share_check_counts(&total, b->count, n, data->count));
    EX_TRY(ex_samples_alloc(&b->all, total));
    for (int i = 0; clients && i < n; at += clients[i++].count)
        copy_samples(&b->all, at, &clients[i], 0, clients[i].count);
    EX_TRY(ex_comm_broadcast(f->comm, b->all.index, total * sizeof *b->all.index, 0));
    EX_TRY(ex_comm_broadcast(f->comm, b->all.label, total * sizeof *b->all.label, 0));
    return ex_share_check_samples(&b->all, data);
}

ex_status ex_share_send_clients(ex_federation *f, const ex_samples *clients)
{
    const int n = f->config.num_clients;
    samples_block b = {0};
    EX_TRY(ex_alloc(&b.count, (size_t)n, sizeof *b.count, "clients' samples"));
    ex_status status = send_block(f, &b, clients);
    if (status == EX_OK && !clients)
        status = unpack_clients(f->share->samples, &b, n);
    ex_samples_free(&b.all);
    ex_free(&b.count);
    return status;
}
