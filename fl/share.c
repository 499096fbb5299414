/* Orders of rank 0, and what each announces. A broadcast is the same call on both ends, so most
 * functions here serve the rank that tells and those that are told. */
#include "share.h"

#include "base/digest.h"
#include "base/memory.h"
#include "io/file.h"
#include "version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPEN = 1, ROUND, STOP, ALGORITHMS_MAX = 1 << 24 };

/* Sent as it lies in memory: all ranks run the same program, which OPEN makes sure of. */
typedef struct order {
    int32_t kind;
    int32_t number, norm, local_epochs, send_mask; /* ROUND: as in ex_round */
    int32_t has_mask;
    int32_t with_mask, with_values, with_clients; /* ROUND: what follows, in this order ... */
    uint32_t algorithms;                          /* ... and so many bytes of JSON */
    double lr;
    uint64_t seed;    /* ROUND: of its draws, the choice of the cohort among them */
    uint64_t values;  /* ROUND: digest of the global values it starts from */
    char program[64]; /* OPEN: what must be the same; the configuration follows */
} order;

static ex_status tell(ex_comm *comm, order *o)
{
    return ex_comm_broadcast(comm, o, sizeof *o, 0);
}

static order order_open(void)
{
    order o = {.kind = OPEN};
    snprintf(o.program, sizeof o.program, "excise %s, %zu", ex_version(), sizeof(ex_config));
    return o;
}

/* --- state ---------------------------------------------------------------------------------- */

ex_status ex_share_create(ex_share **out, const ex_federation *f)
{
    EX_TRY(ex_alloc(out, 1, sizeof **out, "what the ranks share"));
    return ex_alloc(&(*out)->samples, (size_t)f->config.num_clients, sizeof *(*out)->samples,
                    "clients of a round");
}

void ex_share_destroy(ex_share **share, int num_clients)
{
    ex_share *s = *share;
    if (!s)
        return;
    for (int i = 0; s->samples && i < num_clients; i++)
        ex_samples_free(&s->samples[i]);
    ex_free(&s->samples);
    ex_mask_destroy(&s->mask);
    if (s->file[0])
        unlink(s->file);
    ex_free(share);
}

static uint64_t values_digest(const ex_federation *f)
{
    return ex_model_digest(f->model, f->params, f->stats);
}

void ex_share_keep(ex_federation *f)
{
    if (f->share)
        f->share->values = values_digest(f);
}

/* --- what a round needs --------------------------------------------------------------------- */

static ex_status send_values(ex_federation *f)
{
    EX_TRY(ex_comm_broadcast(f->comm, f->params, f->model->param_count * sizeof *f->params, 0));
    return ex_comm_broadcast(f->comm, f->stats, f->model->stat_count * sizeof *f->stats, 0);
}

static ex_status copy_mask(ex_share *s, const ex_model *model, const uint8_t *selected)
{
    ex_mask_destroy(&s->mask);
    if (!selected)
        return EX_OK;
    EX_TRY(ex_mask_create(&s->mask, model));
    memcpy(s->mask->selected, selected, (size_t)model->channel_count);
    return ex_mask_seal(s->mask);
}

/* On rank 0 the mask is there already. */
static ex_status send_mask(ex_federation *f)
{
    const size_t channels = (size_t)f->model->channel_count;
    uint8_t *selected;
    EX_TRY(ex_alloc(&selected, channels, 1, "mask"));
    if (ex_comm_rank(f->comm) == 0)
        memcpy(selected, f->share->mask->selected, channels);
    ex_status status = ex_comm_broadcast(f->comm, selected, channels, 0);
    if (status == EX_OK && ex_comm_rank(f->comm) != 0)
        status = copy_mask(f->share, f->model, selected);
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
    size_t total = 0, at = 0;
    for (int i = 0; clients && i < n; i++)
        b->count[i] = (int64_t)clients[i].count;
    EX_TRY(ex_comm_broadcast(f->comm, b->count, (size_t)n * sizeof *b->count, 0));
    for (int i = 0; i < n; i++)
        total += (size_t)b->count[i];
    EX_TRY(ex_samples_alloc(&b->all, total));
    for (int i = 0; clients && i < n; at += clients[i++].count)
        copy_samples(&b->all, at, &clients[i], 0, clients[i].count);
    EX_TRY(ex_comm_broadcast(f->comm, b->all.index, total * sizeof *b->all.index, 0));
    return ex_comm_broadcast(f->comm, b->all.label, total * sizeof *b->all.label, 0);
}

/* clients (num_clients): rank 0's; NULL on the others, which keep them in the share. */
static ex_status send_clients(ex_federation *f, const ex_samples *clients)
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

/* --- algorithms ----------------------------------------------------------------------------- */

static ex_status make_file(ex_share *s)
{
    if (s->file[0])
        return EX_OK;
    const char *folder = getenv("TMPDIR");
    const int length = snprintf(s->file, sizeof s->file, "%s/excise-algorithms-XXXXXX",
                                folder && *folder ? folder : "/tmp");
    const int fd = length < (int)sizeof s->file ? mkstemp(s->file) : -1;
    if (fd < 0) {
        s->file[0] = '\0';
        return EX_FAIL(EX_ERR_IO, "no temporary file for algorithms can be made in %s",
                       folder && *folder ? folder : "/tmp");
    }
    close(fd);
    return EX_OK;
}

/* Where algorithms are timed, rank 0 does that for all, before the round: ranks that chose for
 * themselves would differ in bits. *text: the choices, NULL where the others have them. */
static ex_status choose_algorithms(ex_federation *f, const ex_round *round, char **text,
                                   size_t *bytes)
{
    *text = NULL;
    *bytes = 0;
    if (f->config.conv == EX_CONV_DIRECT)
        return EX_OK;
    EX_TRY(ex_federation_lanes(f));
    for (int i = 0; i < f->config.num_clients; i++) {
        const ex_fit fit = ex_round_fit(f, round, i);
        if (fit.samples->count > 0)
            EX_TRY(ex_trainer_prepare(f->lanes[0], &fit));
    }
    EX_TRY(make_file(f->share));
    EX_TRY(ex_device_write_algorithms(f->device, f->share->file));
    EX_TRY(ex_file_read(text, bytes, f->share->file, ALGORITHMS_MAX));
    const uint64_t digest = ex_digest(EX_DIGEST_START, *text, *bytes);
    if (digest == f->share->algorithms) {
        free(*text);
        *text = NULL;
        *bytes = 0;
    }
    f->share->algorithms = digest;
    return EX_OK;
}

static ex_status receive_algorithms(ex_federation *f, size_t bytes)
{
    char *text;
    EX_TRY(ex_alloc(&text, bytes, 1, "algorithms"));
    ex_status status = ex_comm_broadcast(f->comm, text, bytes, 0);
    if (status == EX_OK)
        status = make_file(f->share);
    if (status == EX_OK)
        status = ex_file_write(f->share->file, text, bytes);
    if (status == EX_OK)
        status = ex_device_read_algorithms(f->device, f->share->file);
    ex_free(&text);
    return status;
}

/* --- rank 0 --------------------------------------------------------------------------------- */

ex_status ex_share_open(ex_comm *comm, const ex_config *config)
{
    order o = order_open();
    ex_config copy = *config;
    EX_TRY(tell(comm, &o));
    return ex_comm_broadcast(comm, &copy, sizeof copy, 0);
}

static bool same_mask(const ex_mask *a, const ex_mask *b)
{
    if (!a || !b)
        return a == b;
    return memcmp(a->selected, b->selected, (size_t)a->model->channel_count) == 0;
}

static ex_status send_round(ex_federation *f, const ex_round *round, order *o, char *algorithms)
{
    EX_TRY(tell(f->comm, o));
    if (o->with_mask)
        EX_TRY(send_mask(f));
    if (o->with_values)
        EX_TRY(send_values(f));
    if (o->with_clients)
        EX_TRY(send_clients(f, round->clients));
    return algorithms ? ex_comm_broadcast(f->comm, algorithms, o->algorithms, 0) : EX_OK;
}

ex_status ex_share_round(ex_federation *f, const ex_round *round)
{
    ex_share *s = f->share;
    const uint64_t values = values_digest(f);
    const uint64_t clients = clients_digest(round->clients, f->config.num_clients);
    const bool other_mask = !same_mask(s->mask, round->mask);
    char *algorithms = NULL;
    size_t bytes = 0;
    if (clients != s->clients || other_mask || round->norm != s->norm)
        EX_TRY(choose_algorithms(f, round, &algorithms, &bytes));
    order o = {.kind = ROUND,
               .number = round->number,
               .norm = (int32_t)round->norm,
               .local_epochs = round->local_epochs,
               .send_mask = round->send_mask,
               .has_mask = round->mask != NULL,
               .with_mask = round->mask && other_mask,
               .with_values = values != s->values,
               .with_clients = clients != s->clients,
               .algorithms = (uint32_t)bytes,
               .lr = round->lr,
               .seed = f->seed,
               .values = values};
    ex_status status = EX_OK;
    if (other_mask)
        status = copy_mask(s, f->model, round->mask ? round->mask->selected : NULL);
    if (status == EX_OK) {
        status = send_round(f, round, &o, algorithms);
        if (status != EX_OK)
            ex_comm_abort(f->comm); /* the others wait for the rest of it */
    }
    free(algorithms);
    EX_TRY(status);
    s->values = values;
    s->clients = clients;
    s->norm = round->norm;
    return EX_OK;
}

void ex_share_dismiss(ex_comm **comm)
{
    order o = {.kind = STOP};
    if (*comm && ex_comm_size(*comm) > 1 && ex_comm_rank(*comm) == 0 && !ex_comm_broken(*comm))
        (void)tell(*comm, &o); /* if they are gone, they are */
    ex_comm_destroy(comm);
}

/* --- the other ranks ------------------------------------------------------------------------ */

static ex_status receive_round(ex_federation *f, const order *o)
{
    if (!o->has_mask)
        ex_mask_destroy(&f->share->mask);
    if (o->with_mask)
        EX_TRY(send_mask(f));
    if (o->with_values)
        EX_TRY(send_values(f));
    if (o->with_clients)
        EX_TRY(send_clients(f, NULL));
    return o->algorithms ? receive_algorithms(f, o->algorithms) : EX_OK;
}

static ex_status check_values(const ex_federation *f, const order *o)
{
    const uint64_t mine = values_digest(f);
    if (mine == o->values)
        return EX_OK;
    return EX_FAIL(EX_ERR_INTERNAL, "round %d: this rank's global values differ from rank 0's",
                   o->number + 1);
}

static ex_status serve_round(ex_federation *f, const order *o)
{
    ex_round_result result;
    ex_status status = receive_round(f, o);
    if (status != EX_OK) {
        ex_comm_abort(f->comm); /* the ranks are no longer at the same place */
        return status;
    }
    f->seed = o->seed;
    f->share->trouble = check_values(f, o);
    const ex_round round = {.number = o->number,
                            .clients = f->share->samples,
                            .mask = o->has_mask ? f->share->mask : NULL,
                            .norm = (ex_norm_mode)o->norm,
                            .lr = o->lr,
                            .local_epochs = o->local_epochs,
                            .send_mask = o->send_mask != 0};
    return ex_federation_round(f, &round, &result);
}

/* What failed on all ranks is rank 0's to report; it may go on with another round. */
static ex_status serve_rounds(ex_federation *f)
{
    for (order o;;) {
        EX_TRY(tell(f->comm, &o));
        if (o.kind != ROUND)
            return EX_OK;
        const ex_status status = serve_round(f, &o);
        if (status != EX_OK && ex_comm_broken(f->comm))
            return status;
    }
}

static ex_status check_program(const order *o)
{
    const order mine = order_open();
    if (o->kind == OPEN && memcmp(o->program, mine.program, sizeof mine.program) == 0)
        return EX_OK;
    return EX_FAIL(EX_ERR_UNSUPPORTED, "this rank runs %s, and rank 0 %.63s; they must be the same",
                   mine.program, o->kind == OPEN ? o->program : "something else");
}

static ex_status serve(ex_federation **f, ex_comm **comm, bool *reported)
{
    order o;
    ex_config config;
    EX_TRY(tell(*comm, &o));
    if (o.kind == STOP)
        return EX_OK;
    ex_status status = check_program(&o);
    if (status != EX_OK) {
        ex_comm_abort(*comm);
        return status;
    }
    EX_TRY(ex_comm_broadcast(*comm, &config, sizeof config, 0));
    status = ex_federation_join(f, &config, comm);
    *reported = status != EX_OK && *comm && !ex_comm_broken(*comm);
    return status == EX_OK ? serve_rounds(*f) : status;
}

ex_status ex_federation_serve(ex_comm **comm, bool *reported)
{
    ex_federation *f = NULL;
    *reported = false;
    const ex_status status = serve(&f, comm, reported);
    ex_federation_close(&f);
    ex_comm_destroy(comm);
    return status;
}
