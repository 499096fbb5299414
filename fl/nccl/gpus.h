/* The ranks' GPUs, before NCCL is told of them. Errors' texts go into error (EX_COMM_TEXT). */
#ifndef EX_NCCL_GPUS_H
#define EX_NCCL_GPUS_H

#include "comm_impl.h"

#include <cuda_runtime.h>
#include <nccl.h>

ex_status ex_nccl_check_cuda(cudaError_t code, const char *what, char *error);
/* Whether a GPU answers here. */
ex_status ex_nccl_usable(const ex_comm_options *options, char *error);
/* Takes a GPU for this rank, makes it the current one, and meets the others: *id is rank 0's. All
 * ranks get EX_ERR_CONFIG where some have no GPU or two have the same, and what the first says
 * where none has one. */
ex_status ex_nccl_gather(int *gpu, ncclUniqueId *id, const ex_comm_options *options, char *error);

#endif
