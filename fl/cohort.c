#include "cohort.h"

#include "base/memory.h"
#include "base/rng.h"

/* chosen (num_clients): 1 for the first clients_per_round of a shuffled order. */
static ex_status draw(uint8_t *chosen, const ex_config *config, uint64_t seed, int round)
{
    const size_t all = (size_t)config->num_clients;
    uint32_t *order;
    EX_TRY(ex_alloc(&order, all, sizeof *order, "cohort"));
    for (size_t i = 0; i < all; i++)
        order[i] = (uint32_t)i;
    ex_rng r = ex_rng_at(
        (ex_rng_key){.seed = seed, .use = EX_RNG_COHORT, .round = (uint32_t)round});
    ex_rng_shuffle(&r, order, all);
    for (int i = 0; i < config->clients_per_round; i++)
        chosen[order[i]] = 1;
    ex_free(&order);
    return EX_OK;
}

ex_status ex_cohort(int *cohort, int *count, const ex_config *config, uint64_t seed,
                    const ex_samples *clients, int round)
{
    const bool all = config->clients_per_round == 0;
    uint8_t *chosen;
    EX_TRY(ex_alloc(&chosen, (size_t)config->num_clients, 1, "cohort"));
    const ex_status status = all ? EX_OK : draw(chosen, config, seed, round);
    *count = 0;
    for (int k = 0; k < config->num_clients && status == EX_OK; k++)
        if ((all || chosen[k]) && clients[k].count > 0)
            cohort[(*count)++] = k;
    ex_free(&chosen);
    return status;
}
