/* The server's scheme: what it holds, perturbed, tunes the masked values in a few epochs. No client
 * takes part and nothing is sent. */
#include "base/clock.h"
#include "methods/schemes.h"
#include "select.h"

ex_status ex_scheme_check_server(const ex_federation *f, int label)
{
    const ex_samples *server = &f->server;
    if (!server->count)
        return EX_FAIL(EX_ERR_CONFIG, "the server holds no samples, and this method trains on them "
                                      "alone; set server.samples, or use --method de");
    if (!ex_count_label(server, label))
        return EX_FAIL(EX_ERR_CONFIG,
                       "none of the server's %zu samples is of class %d; raise server.samples, or "
                       "use --method de",
                       server->count, label);
    return EX_OK;
}

/* One epoch on the server's lane, and the values back from it. */
static ex_status run_epoch(ex_unlearning *u, ex_trainer *trainer, const ex_samples *samples,
                           int epoch, double *seconds)
{
    ex_federation *f = u->f;
    const ex_config *c = &f->config;
    const ex_fit fit = {
        .data = &f->data->train,
        .samples = samples,
        .epochs = 1,
        .batch_size = c->unlearn.batch_size,
        .sgd = {.lr = (float)c->unlearn.lr,
                .momentum = (float)c->momentum,
                .weight_decay = (float)c->weight_decay},
        .norm = (ex_norm_mode)c->unlearn.norm,
        .mask = u->mask,
        /* The server draws as the client after the last. */
        .key = {.seed = ex_config_unlearn_seed(c), .client = (uint32_t)c->num_clients},
        .first_epoch = epoch};
    ex_train_sums sums = {0};
    size_t processed = 0;
    const double start = ex_now();
    EX_TRY(ex_trainer_fit(trainer, &fit, &sums, &processed));
    EX_TRY(ex_lane_store(ex_trainer_lane(trainer), f->params, f->stats));
    if (u->velocity)
        EX_TRY(ex_lane_store_velocity(ex_trainer_lane(trainer), u->velocity));
    const double taken = ex_now() - start;
    *seconds += taken;
    u->train_loss = sums.loss / (double)sums.count;
    ex_ledger_compute(f->ledger, taken);
    ex_ledger_client(f->ledger, -1, taken, processed);
    return EX_OK;
}

ex_status ex_scheme_central(ex_unlearning *u)
{
    ex_federation *f = u->f;
    const ex_config *c = &f->config;
    ex_status status = EX_OK;
    ex_trainer *trainer;
    ex_samples samples = {0};
    double seconds;
    bool stop;
    EX_TRY(ex_federation_central(f, &trainer));
    if (u->trace_count && u->velocity)
        EX_TRY(ex_lane_load_velocity(ex_trainer_lane(trainer), u->velocity));
    ex_unlearning_standing(u, &seconds, &stop);
    ex_record_stored(u, &f->server, 1);
    for (int epoch = u->trace_count; epoch < c->unlearn.epochs && !stop; epoch++) {
        const int draw = c->unlearn.relabel == EX_RELABEL_EACH ? epoch : 0;
        if (!samples.count || draw > 0) {
            ex_samples_free(&samples);
            EX_TRY_GOTO(ex_perturb(&samples, &f->server, u->label, f->model->classes,
                                   ex_config_unlearn_seed(c), c->num_clients, draw),
                        done);
        }
        EX_TRY_GOTO(run_epoch(u, trainer, &samples, epoch, &seconds), done);
        EX_TRY_GOTO(ex_unlearning_trace(u, epoch + 1, seconds, &stop), done);
    }
done:
    ex_samples_free(&samples);
    return status;
}
