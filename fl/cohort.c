#include "cohort.h"
#include "draw.h"

#include "base/memory.h"

ex_status ex_cohort(int *cohort, int *count, const ex_config *config, uint64_t seed,
                    const ex_samples *clients, int round)
{
    const bool all = config->clients_per_round == 0;
    const ex_rng_key key = {.seed = seed, .use = EX_RNG_COHORT, .round = (uint32_t)round};
    uint8_t *chosen;
    EX_TRY(ex_alloc(&chosen, (size_t)config->num_clients, 1, "cohort"));
    const ex_status status =
        all ? EX_OK
            : ex_draw(chosen, (size_t)config->num_clients, (size_t)config->clients_per_round, key);
    *count = 0;
    for (int k = 0; k < config->num_clients && status == EX_OK; k++)
        if ((all || chosen[k]) && clients[k].count > 0)
            cohort[(*count)++] = k;
    ex_free(&chosen);
    return status;
}
