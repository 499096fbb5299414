/* A round in miniature: what a training will need, seen rather than computed. */
#include "federation.h"

#include "base/memory.h"

enum { ROUNDS = 2 };

/* A full batch and a last, shorter one: every plan that the client's epochs compile. */
static ex_samples first_batches(const ex_samples *s, int batch_size)
{
    const size_t batch = (size_t)batch_size;
    ex_samples part = *s;
    if (s->count > batch)
        part.count = batch + s->count % batch;
    return part;
}

ex_status ex_federation_rehearse(ex_federation *f, ex_rehearsal *out)
{
    const ex_config *c = &f->config;
    ex_status status;
    ex_samples *clients;
    ex_round_result result;
    ex_accuracy accuracy = {0};
    *out = (ex_rehearsal){0};
    EX_TRY(ex_alloc(&clients, (size_t)c->num_clients, sizeof *clients, "clients"));
    /* A client more than lanes: updates wait for their turn. */
    for (int i = 0, taken = 0; i < c->num_clients && taken <= f->lane_count; i++)
        if (f->clients[i].count > 0) {
            clients[i] = first_batches(&f->clients[i], c->batch_size);
            taken++;
        }
    ex_round round = {.clients = clients, .norm = EX_NORM_TRAIN, .lr = c->lr, .local_epochs = 1};
    EX_TRY_GOTO(ex_ledger_begin(f->ledger, "rehearsal"), done);
    /* Twice, as a run has several rounds: the second finds what the first has left in its way. */
    for (status = EX_OK; status == EX_OK && round.number < ROUNDS; round.number++) {
        ex_accuracy_free(&accuracy);
        status = ex_federation_round(f, &round, &result);
        if (status == EX_OK)
            status = ex_federation_evaluate(f, &f->data->test, NULL, &accuracy);
    }
    ex_ledger_end(f->ledger);
    out->peak_memory = ex_memory_peak();
    if (status == EX_OK && result.cohort > 0) {
        out->client_bytes_up = result.bytes_up / (size_t)result.cohort;
        out->client_bytes_down = result.bytes_down / (size_t)result.cohort;
    }
done:
    ex_accuracy_free(&accuracy);
    ex_free(&clients);
    return status;
}
