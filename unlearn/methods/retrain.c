/* The baseline: training from scratch, as it was, without the class. */
#include "base/memory.h"
#include "methods/schemes.h"

typedef struct retraining {
    ex_unlearning *u;
    double seconds;
} retraining;

static ex_status after_round(void *context, ex_federation *f, int round,
                             const ex_round_result *result)
{
    (void)f;
    retraining *r = context;
    bool stop; /* the class's accuracy is low from the start and says nothing */
    r->seconds += result->seconds;
    r->u->train_loss = result->loss;
    return ex_unlearning_trace(r->u, round + 1, r->seconds, &stop);
}

/* What remains to the clients; one that had the class alone is left empty and sits out. */
static ex_status remove_class(ex_samples *out, const ex_unlearning *u)
{
    const ex_federation *f = u->f;
    for (int i = 0; i < f->config.num_clients; i++)
        EX_TRY(ex_samples_of_class(&out[i], &f->clients[i], u->label, 0));
    return EX_OK;
}

static ex_status check(const ex_federation *f, int label)
{
    for (int i = 0; i < f->config.num_clients; i++)
        if (ex_count_label(&f->clients[i], label) < f->clients[i].count)
            return EX_OK;
    return EX_FAIL(EX_ERR_CONFIG,
                   "without class %d no client has samples left to train on; raise train_samples",
                   label);
}

static ex_status run(ex_unlearning *u)
{
    ex_federation *f = u->f;
    ex_status status;
    ex_samples *clients;
    retraining context = {.u = u};
    EX_TRY(ex_alloc(&clients, (size_t)f->config.num_clients, sizeof *clients, "remaining samples"));
    EX_TRY_GOTO(remove_class(clients, u), done);
    bool stop;
    ex_unlearning_standing(u, &context.seconds, &stop);
    if (!u->trace_count)
        ex_model_init(f->model, ex_config_unlearn_seed(&f->config), f->params, f->stats);
    ex_record_stored(u, clients, f->config.num_clients);
    status = ex_federation_train(f, clients, u->trace_count, after_round, &context);
done:
    for (int i = 0; i < f->config.num_clients; i++)
        ex_samples_free(&clients[i]);
    ex_free(&clients);
    return status;
}

const ex_method ex_method_retrain = {
    .name = "retrain",
    .help = "training from scratch without the class: the baseline",
    .from_scratch = true,
    .check = check,
    .run = run,
};
