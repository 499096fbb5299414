/* The random words of a plan's steps. By itself, since back ends call it: the CUDA module, which
 * has a copy of what it calls, must not draw the table of back ends along, and oneDNN with it. */
#include "backend.h"

ex_draws ex_plan_draws(const ex_plan *plan, ex_rng_use use)
{
    ex_rng_key key = plan->key;
    key.use = use;
    const ex_rng r = ex_rng_at(key);
    return (ex_draws){.key = {r.key[0], r.key[1]},
                      .counter = {r.counter[0], r.counter[1], r.counter[2], r.counter[3]}};
}

/* Values that a node reads in a batch. */
static size_t values_read(const ex_plan *plan, const ex_node *n)
{
    return (size_t)plan->spec.batch * (size_t)n->C * (size_t)n->H * (size_t)n->W;
}

ex_dropout ex_plan_dropout(const ex_plan *plan, int node)
{
    const ex_node *nodes = plan->lane->model->nodes;
    ex_dropout d = {.rate = plan->spec.use == EX_USE_TRAIN ? nodes[node].dropout : 0.0f};
    if (d.rate <= 0.0f)
        return d;
    d.draws = ex_plan_draws(plan, EX_RNG_DROPOUT);
    for (int i = 0; i < node; i++)
        if (nodes[i].dropout > 0.0f)
            d.draws.counter[0] += (uint32_t)((values_read(plan, &nodes[i]) + 3) / 4);
    return d;
}
