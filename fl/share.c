/* What rank 0 tells, and what it remembers that the others hold. */
#include "share_impl.h"

#include "base/digest.h"
#include "base/memory.h"
#include "version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ex_status ex_order_tell(ex_comm *comm, ex_order *order)
{
    return ex_comm_broadcast(comm, order, sizeof *order, 0);
}

ex_order ex_order_open(void)
{
    ex_order o = {.kind = EX_ORDER_OPEN};
    snprintf(o.program, sizeof o.program, "excise %s, %zu", ex_version(), sizeof(ex_config));
    return o;
}

/* Of a timeout, and seconds at most: the others hear of rank 0 long before they give it up. */
static const double BEAT_PART = 1.0 / 20, BEAT_MAX = 30;

static ex_status tell_waiting(ex_comm *comm)
{
    ex_order o = {.kind = EX_ORDER_WAIT};
    return ex_order_tell(comm, &o);
}

/* --- state ---------------------------------------------------------------------------------- */

ex_status ex_share_create(ex_share **out, const ex_federation *f, ex_comm *comm)
{
    EX_TRY(ex_alloc(out, 1, sizeof **out, "what the ranks share"));
    EX_TRY(ex_alloc(&(*out)->samples, (size_t)f->config.num_clients, sizeof *(*out)->samples,
                    "clients of a round"));
    if (ex_comm_rank(comm) != 0)
        return EX_OK;
    const double interval = ex_comm_timeout(comm) * BEAT_PART;
    return ex_pulse_start(&(*out)->pulse, comm, tell_waiting,
                          interval < BEAT_MAX ? interval : BEAT_MAX);
}

void ex_share_destroy(ex_share **share, int num_clients)
{
    ex_share *s = *share;
    if (!s)
        return;
    ex_pulse_stop(&s->pulse);
    for (int i = 0; s->samples && i < num_clients; i++)
        ex_samples_free(&s->samples[i]);
    ex_free(&s->samples);
    ex_mask_destroy(&s->mask);
    if (s->file[0])
        unlink(s->file);
    ex_free(share);
}

uint64_t ex_share_digest(const ex_federation *f)
{
    const uint64_t digest = ex_model_digest(f->model, f->params, f->stats);
    return f->velocity ? ex_digest(digest, f->velocity, f->model->param_count * sizeof *f->velocity)
                       : digest;
}

void ex_share_keep(ex_federation *f)
{
    if (f->share)
        f->share->values = ex_share_digest(f);
}

void ex_share_rest(ex_federation *f)
{
    if (f->share && f->share->pulse)
        ex_pulse_release(f->share->pulse);
}

/* --- rounds --------------------------------------------------------------------------------- */

static uint64_t clients_digest(const ex_samples *clients, int count)
{
    uint64_t digest = EX_DIGEST_START;
    for (int i = 0; i < count; i++) {
        digest = ex_digest(digest, &clients[i].count, sizeof clients[i].count);
        digest = ex_digest(digest, clients[i].index, clients[i].count * sizeof(uint32_t));
        digest = ex_digest(digest, clients[i].label, clients[i].count * sizeof(uint16_t));
    }
    return digest;
}

ex_status ex_share_open(ex_comm *comm, const ex_config *config)
{
    ex_order o = ex_order_open();
    ex_config copy = *config;
    EX_TRY(ex_order_tell(comm, &o));
    return ex_comm_broadcast(comm, &copy, sizeof copy, 0);
}

static bool same_mask(const ex_mask *a, const ex_mask *b)
{
    if (!a || !b)
        return a == b;
    return memcmp(a->selected, b->selected, (size_t)a->model->channel_count) == 0;
}

static ex_status send_round(ex_federation *f, const ex_round *round, ex_order *o, char *algorithms)
{
    EX_TRY(ex_order_tell(f->comm, o));
    if (o->with_mask)
        EX_TRY(ex_share_send_mask(f));
    if (o->with_values)
        EX_TRY(ex_share_send_values(f));
    if (o->with_clients)
        EX_TRY(ex_share_send_clients(f, round->clients));
    return algorithms ? ex_comm_broadcast(f->comm, algorithms, o->algorithms, 0) : EX_OK;
}

/* What the round is, and what of it the others do not hold yet. */
static ex_order order_of(const ex_federation *f, const ex_round *round, uint64_t clients)
{
    const ex_share *s = f->share;
    const uint64_t values = ex_share_digest(f);
    return (ex_order){.kind = EX_ORDER_ROUND,
                      .number = round->number,
                      .norm = (int32_t)round->norm,
                      .local_epochs = round->local_epochs,
                      .send_mask = round->send_mask,
                      .has_mask = round->mask != NULL,
                      .with_mask = round->mask && !same_mask(s->mask, round->mask),
                      .with_values = values != s->values,
                      .with_clients = clients != s->clients,
                      .lr = round->lr,
                      .seed = f->seed,
                      .values = values};
}

ex_status ex_share_round(ex_federation *f, const ex_round *round)
{
    ex_share *s = f->share;
    const uint64_t clients = clients_digest(round->clients, f->config.num_clients);
    const bool other_mask = !same_mask(s->mask, round->mask);
    char *algorithms = NULL;
    size_t bytes = 0;
    ex_order o = order_of(f, round, clients);
    if (o.with_clients || other_mask || round->norm != s->norm)
        EX_TRY(ex_share_choose_algorithms(f, round, &algorithms, &bytes));
    o.algorithms = (uint32_t)bytes;
    ex_status status = EX_OK;
    if (other_mask)
        status = ex_share_copy_mask(s, f->model, round->mask ? round->mask->selected : NULL);
    if (status == EX_OK)
        status = ex_pulse_hold(s->pulse);
    if (status == EX_OK) {
        status = send_round(f, round, &o, algorithms);
        if (status != EX_OK)
            ex_comm_abort(f->comm); /* the others wait for the rest of it */
    }
    free(algorithms);
    EX_TRY(status);
    s->values = o.values;
    s->clients = clients;
    s->norm = round->norm;
    return EX_OK;
}

void ex_share_dismiss(ex_comm **comm)
{
    ex_order o = {.kind = EX_ORDER_STOP};
    if (*comm && ex_comm_size(*comm) > 1 && ex_comm_rank(*comm) == 0 && !ex_comm_broken(*comm))
        (void)ex_order_tell(*comm, &o); /* if they are gone, they are */
    ex_comm_destroy(comm);
}
