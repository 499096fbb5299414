/* Splits samples over clients (METHODS: iid, shard, pathological, dirichlet-client,
 * dirichlet-class). Every sample of `pool` goes to exactly one client, except that pathological
 * leaves out the classes that no client holds. Each client's samples keep the order of the pool. */
#ifndef EX_PARTITION_H
#define EX_PARTITION_H

#include "config.h"

/* clients (num_clients) are filled; the caller frees each, on an error none is left to free. A
 * client left without samples is EX_ERR_CONFIG naming it and what to change. */
ex_status ex_partition(ex_samples *clients, const ex_config *config, const ex_dataset *data,
                       const ex_samples *pool);

#endif
