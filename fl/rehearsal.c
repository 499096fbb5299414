/* A round in miniature: what a training will need, seen rather than computed. */
#include "cohort.h"
#include "share.h"

#include "base/memory.h"

#include <stdlib.h>

enum { ROUNDS = 2 };

typedef struct participant {
    int client;
    size_t samples;
} participant;

/* Who trains in the run. */
typedef struct cast {
    participant *list; /* (count) the clients of all cohorts, those of most samples first */
    int count;
    int most;     /* clients of the largest cohort */
    size_t turns; /* clients of all cohorts, one as often as it is drawn */
} cast;

static int most_samples_first(const void *a, const void *b)
{
    const participant *x = a, *y = b;
    if (x->samples != y->samples)
        return x->samples < y->samples ? 1 : -1;
    return x->client - y->client;
}

static ex_status find_cast(cast *out, const ex_federation *f)
{
    const ex_config *c = &f->config;
    const size_t room = (size_t)c->num_clients;
    const bool drawn = c->clients_per_round > 0; /* else every round has the same cohort */
    int *cohort = NULL, count;
    ex_status status;
    EX_TRY_GOTO(ex_alloc(&cohort, room, sizeof *cohort, "cohort"), done);
    EX_TRY_GOTO(ex_alloc(&out->list, room, sizeof *out->list, "clients of all rounds"), done);
    for (int round = 0; round < (drawn ? c->rounds : 1); round++) {
        EX_TRY_GOTO(ex_interrupted() ? EX_FAIL(EX_ERR_INTERRUPTED, "interrupted by a signal")
                                     : EX_OK,
                    done);
        EX_TRY_GOTO(ex_cohort(cohort, &count, c, f->seed, f->clients, round), done);
        for (int i = 0; i < count; i++)
            out->list[cohort[i]].samples = f->clients[cohort[i]].count;
        out->most = count > out->most ? count : out->most;
        out->turns += (size_t)count;
    }
    if (!drawn)
        out->turns *= (size_t)c->rounds;
    for (int k = 0; k < c->num_clients; k++)
        out->list[k].client = k;
    qsort(out->list, room, sizeof *out->list, most_samples_first);
    while (out->count < c->num_clients && out->list[out->count].samples > 0)
        out->count++;
done:
    ex_free(&cohort);
    return status;
}

/* A full batch and a last, shorter one: every plan that the client's epochs compile. */
static ex_samples first_batches(const ex_samples *s, int batch_size)
{
    const size_t batch = (size_t)batch_size;
    ex_samples part = *s;
    if (s->count > batch)
        part.count = batch + s->count % batch;
    return part;
}

/* A plan for each size of last batch, on each lane that trains: in the course of a run every lane
 * meets every client. */
static ex_status make_plans(ex_federation *f, const cast *all)
{
    const ex_round round = {.clients = f->clients, .norm = EX_NORM_TRAIN, .lr = f->config.lr};
    const size_t batch = (size_t)f->config.batch_size;
    const int lanes = f->lane_count < all->most ? f->lane_count : all->most;
    ex_status status = EX_OK;
    bool *made;
    EX_TRY(ex_alloc(&made, batch, sizeof *made, "sizes of last batches"));
    for (int i = 0; i < all->count && status == EX_OK; i++) {
        const ex_fit fit = ex_round_fit(f, &round, all->list[i].client);
        bool *here = &made[fit.samples->count % batch];
        for (int k = 0; k < lanes && !*here && status == EX_OK; k++)
            status = ex_trainer_prepare(f->lanes[k], &fit);
        *here = true;
    }
    ex_free(&made);
    return status;
}

/* Twice, as a run has several rounds: the second finds what the first has left in its way. */
static ex_status run_rounds(ex_federation *f, const cast *all, const ex_samples *clients,
                            ex_rehearsal *out)
{
    ex_round round = {
        .clients = clients, .norm = EX_NORM_TRAIN, .lr = f->config.lr, .local_epochs = 1};
    ex_round_result result;
    ex_accuracy accuracy = {0};
    EX_TRY(ex_ledger_begin(f->ledger, "rehearsal"));
    ex_status status = EX_OK;
    for (; status == EX_OK && round.number < ROUNDS; round.number++) {
        ex_accuracy_free(&accuracy);
        status = ex_federation_round(f, &round, &result);
        if (status == EX_OK && round.number == 0)
            status = make_plans(f, all);
        if (status == EX_OK)
            status = ex_federation_evaluate(f, &f->data->test, NULL, &accuracy);
    }
    ex_ledger_end(f->ledger);
    ex_accuracy_free(&accuracy);
    EX_TRY(status);
    *out = (ex_rehearsal){
        .peak_memory = ex_memory_peak(), .largest_cohort = all->most, .turns = all->turns};
    if (result.cohort > 0) {
        out->client_bytes_up = result.bytes_up / (size_t)result.cohort;
        out->client_bytes_down = result.bytes_down / (size_t)result.cohort;
    }
    return EX_OK;
}

ex_status ex_federation_rehearse(ex_federation *f, ex_rehearsal *out)
{
    const int drawn = f->config.clients_per_round;
    cast all = {0};
    ex_samples *clients = NULL;
    ex_status status;
    *out = (ex_rehearsal){0};
    EX_TRY_GOTO(find_cast(&all, f), done);
    EX_TRY_GOTO(ex_alloc(&clients, (size_t)f->config.num_clients, sizeof *clients, "clients"),
                done);
    /* A client more than lanes: updates wait for their turn. */
    for (int i = 0; i < all.most && i <= f->lane_count; i++) {
        const int client = all.list[i].client;
        clients[client] = first_batches(&f->clients[client], f->config.batch_size);
    }
    f->config.clients_per_round = 0; /* these are the cohort, none is left to chance */
    status = run_rounds(f, &all, clients, out);
    f->config.clients_per_round = drawn;
done:
    ex_free(&clients);
    ex_free(&all.list);
    return status;
}
