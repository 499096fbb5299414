/* Which GPU each rank takes, and whether all can be joined so. */
#include "gpus.h"

#include "meet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(EX_MEET_ID == NCCL_UNIQUE_ID_BYTES, "the id travels whole");

ex_status ex_nccl_check_cuda(cudaError_t code, const char *what, char *error)
{
    if (code == cudaSuccess)
        return EX_OK;
    snprintf(error, EX_COMM_TEXT, "%s: %s", what, cudaGetErrorString(code));
    return code == cudaErrorMemoryAllocation ? EX_ERR_MEMORY : EX_ERR_BACKEND;
}

static ex_status count_gpus(int *count, char *error)
{
    *count = 0;
    if (cudaGetDeviceCount(count) == cudaSuccess && *count > 0)
        return EX_OK;
    snprintf(error, EX_COMM_TEXT, "no GPU answers (`excise devices` tells why)");
    return EX_ERR_UNSUPPORTED;
}

ex_status ex_nccl_usable(const ex_comm_options *options, char *error)
{
    int count;
    (void)options;
    return count_gpus(&count, error);
}

/* The GPU of "cuda:N"; else the ranks of a machine take its GPUs in turn. gpu: its PCI bus id. */
static ex_status take_gpu(int *taken, char gpu[EX_MEET_TEXT], const ex_comm_options *o, char *error)
{
    int count;
    ex_status status = count_gpus(&count, error);
    if (status != EX_OK)
        return status;
    const int named = strncmp(o->device, "cuda:", 5) == 0 ? atoi(o->device + 5) : -1;
    if (named >= count) {
        snprintf(error, EX_COMM_TEXT, "device is %.32s, and there are %d GPUs", o->device, count);
        return EX_ERR_CONFIG;
    }
    *taken = named >= 0 ? named : o->ranks.local_rank % count;
    status = ex_nccl_check_cuda(cudaSetDevice(*taken), "cudaSetDevice", error);
    return status == EX_OK ? ex_nccl_check_cuda(cudaDeviceGetPCIBusId(gpu, EX_MEET_TEXT, *taken),
                                                "PCI bus id", error)
                           : status;
}

/* The first rank's reason where none has a GPU: of NCCL they then all think alike. */
static ex_status check_all_have_one(const ex_meet_card *cards, int size, char *error)
{
    int with = 0, without = 0;
    while (with < size && cards[with].status != EX_OK)
        with++;
    while (without < size && cards[without].status == EX_OK)
        without++;
    if (without == size)
        return EX_OK;
    if (with == size) {
        snprintf(error, EX_COMM_TEXT, "%s%s", cards[0].why,
                 cards[0].status == EX_ERR_UNSUPPORTED ? "; without GPUs, take comm=mpi and "
                                                         "device=cpu"
                                                       : "");
        return (ex_status)cards[0].status;
    }
    snprintf(error, EX_COMM_TEXT,
             "rank %d (%s) has the GPU %s, but rank %d (%s) has none: %s; let every rank have one, "
             "or take comm=mpi and device=cpu for all",
             with, cards[with].host, cards[with].gpu, without, cards[without].host,
             cards[without].why);
    return EX_ERR_CONFIG;
}

/* NCCL may hang where two ranks have one GPU. */
static ex_status check_none_is_shared(const ex_meet_card *cards, int size, char *error)
{
    for (int b = 1; b < size; b++)
        for (int a = 0; a < b; a++)
            if (strcmp(cards[a].boot, cards[b].boot) == 0 &&
                strcmp(cards[a].gpu, cards[b].gpu) == 0) {
                snprintf(error, EX_COMM_TEXT,
                         "ranks %d and %d both have the GPU %s of %s, and NCCL needs one for each "
                         "rank; start no more ranks than GPUs, or take comm=mpi",
                         a, b, cards[a].gpu, cards[a].host);
                return EX_ERR_CONFIG;
            }
    return EX_OK;
}

static ex_status draw_id(ncclUniqueId *id, char *error)
{
    const ncclResult_t code = ncclGetUniqueId(id);
    if (code == ncclSuccess)
        return EX_OK;
    snprintf(error, EX_COMM_TEXT, "ncclGetUniqueId: %s", ncclGetErrorString(code));
    return EX_ERR_BACKEND;
}

/* A rank that cannot take part comes too: the others would wait for it until the timeout. */
static ex_status meet(ex_meet_card *cards, int *taken, ncclUniqueId *id, const ex_comm_options *o,
                      char *error)
{
    const int rank = o->ranks.rank, size = o->ranks.size;
    char gpu[EX_MEET_TEXT] = "";
    ex_status status = take_gpu(taken, gpu, o, error);
    if (status == EX_OK && rank == 0)
        status = draw_id(id, error);
    ex_meet_fill(&cards[rank], status == EX_OK ? gpu : "", status, error);
    status = ex_meet(o->file, rank, size, o->timeout, cards, id, error);
    if (status == EX_OK)
        status = check_all_have_one(cards, size, error);
    return status == EX_OK ? check_none_is_shared(cards, size, error) : status;
}

ex_status ex_nccl_gather(int *gpu, ncclUniqueId *id, const ex_comm_options *options, char *error)
{
    ex_meet_card *cards = calloc((size_t)options->ranks.size, sizeof *cards);
    if (!cards) {
        snprintf(error, EX_COMM_TEXT, "no memory");
        return EX_ERR_MEMORY;
    }
    const ex_status status = meet(cards, gpu, id, options, error);
    free(cards);
    return status;
}
