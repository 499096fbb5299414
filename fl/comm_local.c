/* One process: what it holds is the sum already, and comm.c asks nothing of a single rank. */
#include "comm_impl.h"

const ex_communicator ex_communicator_local = {
    .abi = EX_COMM_ABI,
    .name = "local",
    .size = sizeof(ex_comm),
};
