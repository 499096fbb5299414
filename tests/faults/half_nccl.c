/* In the place of libexcise_nccl.so: a GPU answers to rank 0 alone, and nothing can be joined. */
#include "comm_impl.h"

#include <stdio.h>

static ex_status usable(const ex_comm_options *options, char *error)
{
    if (options->ranks.rank == 0)
        return EX_OK;
    snprintf(error, EX_COMM_TEXT, "no GPU answers");
    return EX_ERR_UNSUPPORTED;
}

static ex_status join(ex_comm *comm, const ex_comm_options *options)
{
    (void)options;
    snprintf(comm->error, EX_COMM_TEXT, "the stand-in was to be joined");
    return EX_ERR_INTERNAL;
}

const ex_communicator ex_communicator_module = {
    .abi = EX_COMM_ABI,
    .name = "nccl",
    .size = sizeof(ex_comm),
    .usable = usable,
    .join = join,
};
