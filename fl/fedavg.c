/* FedAvg (McMahan et al. 2017):
 *   new = old + sum_k weight_k * (client_k - old) */
#include "strategy.h"

static void apply(const ex_aggregate *a, const ex_global *global)
{
    const ex_mask *m = a->mask;
    const int64_t *sum = ex_aggregate_move(global->params, a->sum, m->params, m->param_segments);
    ex_aggregate_move(global->stats, sum, m->stats, m->stat_segments);
}

const ex_strategy ex_strategy_fedavg = {
    .name = "fedavg",
    .weigh = ex_strategy_weigh,
    .add = ex_strategy_add,
    .apply = apply,
};
