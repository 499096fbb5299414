/* Which training samples the server holds, and which each client. */
#include "draw.h"
#include "federation_impl.h"
#include "partition.h"

#include "base/memory.h"

/* The samples of the data set whose `held` is `keep`. */
static ex_status choose(ex_samples *out, const ex_dataset *d, const uint8_t *held, int keep)
{
    size_t count = 0;
    for (size_t i = 0; i < d->count; i++)
        count += held[i] == keep;
    EX_TRY(ex_samples_alloc(out, count));
    for (size_t i = 0, at = 0; i < d->count; i++)
        if (held[i] == keep) {
            out->index[at] = (uint32_t)i;
            out->label[at++] = d->labels[i];
        }
    return EX_OK;
}

ex_status ex_federation_split(ex_federation *f)
{
    const ex_dataset *train = &f->data->train;
    const ex_config *c = &f->config;
    uint8_t *held = NULL;
    ex_samples pool = {0};
    ex_status status;
    if (c->server.samples > train->count)
        return EX_FAIL(EX_ERR_CONFIG,
                       "server.samples is %zu, but %s has %zu training samples; lower it",
                       c->server.samples, c->dataset, train->count);
    EX_TRY_GOTO(ex_alloc(&held, train->count, 1, "server samples"), done);
    EX_TRY_GOTO(ex_draw(held, train->count, c->server.samples,
                        (ex_rng_key){.seed = c->seed, .use = EX_RNG_SERVER}),
                done);
    EX_TRY_GOTO(choose(&f->server, train, held, 1), done);
    EX_TRY_GOTO(c->server.overlap ? ex_samples_all(&pool, train) : choose(&pool, train, held, 0),
                done);
    EX_TRY_GOTO(
        ex_alloc(&f->clients, (size_t)c->num_clients, sizeof *f->clients, "clients' samples"),
        done);
    EX_TRY_GOTO(ex_partition(f->clients, c, train, &pool), done);
done:
    ex_free(&held);
    ex_samples_free(&pool);
    return status;
}
