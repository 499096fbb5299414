/* FedAvg with the server's momentum (Hsu et al. 2019): with the mean update d of a round,
 *   velocity = momentum * velocity + d,  new = old + lr * velocity
 *
 * Running statistics are averaged as FedAvg does: carried on by momentum, a variance could pass
 * below zero. */
#include "strategy.h"

static const int64_t *move_on(const ex_global *global, const int64_t *sum,
                              const ex_segment *segments, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float *param = global->params + segments[i].offset;
        float *velocity = global->velocity + segments[i].offset;
        for (size_t j = 0; j < segments[i].length; j++) {
            velocity[j] =
                (float)(global->momentum * (double)velocity[j] + ex_aggregate_mean(*sum++));
            param[j] = (float)((double)param[j] + global->lr * (double)velocity[j]);
        }
    }
    return sum;
}

static void apply(const ex_aggregate *a, const ex_global *global)
{
    const ex_mask *m = a->mask;
    const int64_t *sum = move_on(global, a->sum, m->params, m->param_segments);
    ex_aggregate_move(global->stats, sum, m->stats, m->stat_segments);
}

const ex_strategy ex_strategy_fedavgm = {
    .name = "fedavgm",
    .keeps_velocity = true,
    .weigh = ex_strategy_weigh,
    .add = ex_strategy_add,
    .apply = apply,
};
