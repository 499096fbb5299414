/* One process: what it holds is the sum already. */
#include "comm.h"

#include "base/memory.h"

static ex_status local_create(ex_comm **out)
{
    EX_TRY(ex_alloc(out, 1, sizeof **out, "communicator"));
    **out = (ex_comm){.kind = &ex_communicator_local, .rank = 0, .size = 1};
    return EX_OK;
}

static void local_destroy(ex_comm **comm)
{
    ex_free(comm);
}

static ex_status local_sum(ex_comm *comm, double *values, size_t n)
{
    (void)comm, (void)values, (void)n;
    return EX_OK;
}

static ex_status local_broadcast(ex_comm *comm, void *bytes, size_t size, int root)
{
    (void)comm, (void)bytes, (void)size, (void)root;
    return EX_OK;
}

const ex_communicator ex_communicator_local = {
    .name = "local",
    .create = local_create,
    .destroy = local_destroy,
    .sum = local_sum,
    .broadcast = local_broadcast,
};
