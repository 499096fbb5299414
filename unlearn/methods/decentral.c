/* Algorithm 2: the mask goes out once, then in every round its values, and the clients tune
 * them on their own samples, the class perturbed. */
#include "base/memory.h"
#include "methods/schemes.h"
#include "select.h"

ex_status ex_scheme_check_clients(const ex_federation *f, int label)
{
    for (int i = 0; i < f->config.num_clients; i++)
        if (ex_count_label(&f->clients[i], label))
            return EX_OK;
    return EX_FAIL(EX_ERR_CONFIG,
                   "no client holds a sample of class %d, so there is nothing to perturb; choose "
                   "another class, or --method ce",
                   label);
}

static void free_sets(ex_samples *sets, int count)
{
    for (int i = 0; i < count; i++)
        ex_samples_free(&sets[i]);
}

static ex_status perturb_clients(ex_samples *out, const ex_unlearning *u, int draw)
{
    const ex_federation *f = u->f;
    free_sets(out, f->config.num_clients);
    for (int i = 0; i < f->config.num_clients; i++)
        EX_TRY(ex_perturb(&out[i], &f->clients[i], u->label, f->model->classes,
                          ex_config_unlearn_seed(&f->config), i, draw));
    return EX_OK;
}

static ex_status run_round(ex_unlearning *u, const ex_samples *clients, int number, double *seconds)
{
    const ex_config *c = &u->f->config;
    /* Where each round has a cohort of its own, its clients may not have been told before. */
    const bool cohorts = c->clients_per_round && c->clients_per_round < c->num_clients;
    const ex_round round = {
        .number = c->rounds + number, /* goes on where training ended: no stream serves twice */
        .clients = clients,
        .mask = u->mask,
        .norm = (ex_norm_mode)c->unlearn.norm,
        .lr = c->unlearn.lr,
        .local_epochs = c->unlearn.local_epochs ? c->unlearn.local_epochs : c->local_epochs,
        .send_mask = number == 0 || cohorts};
    ex_round_result result = {0};
    EX_TRY(ex_federation_round(u->f, &round, &result));
    *seconds += result.seconds;
    u->train_loss = result.loss;
    return EX_OK;
}

ex_status ex_scheme_decentral(ex_unlearning *u)
{
    ex_federation *f = u->f;
    const ex_config *c = &f->config;
    ex_status status;
    ex_samples *clients;
    double seconds;
    bool stop;
    ex_unlearning_standing(u, &seconds, &stop);
    EX_TRY(ex_alloc(&clients, (size_t)c->num_clients, sizeof *clients, "perturbed clients"));
    EX_TRY_GOTO(perturb_clients(clients, u, 0), done);
    ex_record_stored(u, f->clients, c->num_clients);
    for (int number = u->trace_count; number < c->unlearn.rounds && !stop; number++) {
        if (number > 0 && c->unlearn.relabel == EX_RELABEL_EACH)
            EX_TRY_GOTO(perturb_clients(clients, u, number), done);
        EX_TRY_GOTO(run_round(u, clients, number, &seconds), done);
        EX_TRY_GOTO(ex_unlearning_trace(u, number + 1, seconds, &stop), done);
    }
done:
    free_sets(clients, c->num_clients);
    ex_free(&clients);
    return status;
}
