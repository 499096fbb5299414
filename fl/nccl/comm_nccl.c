/* Ranks over NCCL, each with a GPU of its own. The module libexcise_nccl.so.
 *
 * The communicator does not block: what is begun is asked for until it is there, so that a rank
 * that has lost the others can give up. Values lie on the host; they pass through pinned memory and
 * the GPU. An operation goes through the states below; nothing may be queued behind a collective
 * that NCCL still prepares. */
#include "meet.h"

#include <cuda_runtime.h>
#include <nccl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Static_assert(EX_MEET_ID == NCCL_UNIQUE_ID_BYTES, "the id travels whole");

typedef enum state {
    IDLE,
    PREPARING, /* NCCL takes the collective up */
    RUNNING,   /* the collective, then the copy back, are on the stream */
} state;

typedef struct nccl_comm {
    ex_comm base;
    ncclComm_t comm; /* NULL: none, or aborted */
    cudaStream_t stream;
    void *pinned, *device; /* (room) bytes on the host and on the GPU */
    size_t room;
    state state;
    void *values; /* of the operation under way */
    size_t bytes;
} nccl_comm;

static nccl_comm *inner(ex_comm *comm)
{
    return (nccl_comm *)comm;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- errors --------------------------------------------------------------------------------- */

static ex_status check_cuda(cudaError_t code, const char *what, char *error)
{
    if (code == cudaSuccess)
        return EX_OK;
    snprintf(error, EX_COMM_TEXT, "%s: %s", what, cudaGetErrorString(code));
    return code == cudaErrorMemoryAllocation ? EX_ERR_MEMORY : EX_ERR_BACKEND;
}

/* What is in progress is no error. */
static ex_status check_nccl(ncclResult_t code, const nccl_comm *c, const char *what, char *error)
{
    if (code == ncclSuccess || code == ncclInProgress)
        return EX_OK;
    snprintf(error, EX_COMM_TEXT, "%s: %s (%.200s)", what, ncclGetErrorString(code),
             ncclGetLastError(c->comm));
    return EX_ERR_BACKEND;
}

/* *ready: NCCL has done what it does in the background. */
static ex_status progress(const nccl_comm *c, const char *what, bool *ready, char *error)
{
    ncclResult_t standing = ncclSuccess;
    const ncclResult_t asked = ncclCommGetAsyncError(c->comm, &standing);
    *ready = standing != ncclInProgress;
    return asked == ncclSuccess ? check_nccl(standing, c, what, error)
                                : check_nccl(asked, c, what, error);
}

static ex_status wait_ready(const nccl_comm *c, const char *what, double timeout, char *error)
{
    const double deadline = now() + timeout;
    for (bool ready = false;;) {
        const ex_status status = progress(c, what, &ready, error);
        if (status != EX_OK || ready)
            return status;
        if (now() > deadline) {
            snprintf(error, EX_COMM_TEXT, "%s: not all ranks came within %g s (comm_timeout)", what,
                     timeout);
            return EX_ERR_BACKEND;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* --- joining -------------------------------------------------------------------------------- */

/* The GPU of "cuda:N"; else the ranks of a machine take its GPUs in turn. */
static ex_status take_gpu(nccl_comm *c, const ex_comm_options *o, char *error)
{
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
        snprintf(error, EX_COMM_TEXT,
                 "no GPU answers (`excise devices` tells why); without GPUs, take comm=mpi and "
                 "device=cpu");
        return EX_ERR_UNSUPPORTED;
    }
    const int named = strncmp(o->device, "cuda:", 5) == 0 ? atoi(o->device + 5) : -1;
    if (named >= count) {
        snprintf(error, EX_COMM_TEXT, "device is %.32s, and there are %d GPUs", o->device, count);
        return EX_ERR_CONFIG;
    }
    c->base.gpu = named >= 0 ? named : o->ranks.local_rank % count;
    return check_cuda(cudaSetDevice(c->base.gpu), "cudaSetDevice", error);
}

/* NCCL may hang where two ranks have one GPU. */
static ex_status check_gpus(const ex_meet_card *cards, int size, char *error)
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

static ex_status meet(const nccl_comm *c, const ex_comm_options *o, ex_meet_card *cards,
                      ncclUniqueId *id, char *error)
{
    char gpu[EX_MEET_TEXT];
    ex_status status =
        check_cuda(cudaDeviceGetPCIBusId(gpu, sizeof gpu, c->base.gpu), "PCI bus id", error);
    if (status == EX_OK && c->base.rank == 0)
        status = check_nccl(ncclGetUniqueId(id), c, "ncclGetUniqueId", error);
    if (status != EX_OK)
        return status;
    ex_meet_fill(&cards[c->base.rank], gpu);
    status = ex_meet(o->file, c->base.rank, c->base.size, o->timeout, cards, id, error);
    return status == EX_OK ? check_gpus(cards, c->base.size, error) : status;
}

static ex_status join(nccl_comm *c, const ex_comm_options *o, char *error)
{
    ncclUniqueId id = {{0}};
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ex_status status = take_gpu(c, o, error);
    if (status != EX_OK)
        return status;
    ex_meet_card *cards = calloc((size_t)c->base.size, sizeof *cards);
    if (!cards) {
        snprintf(error, EX_COMM_TEXT, "no memory");
        return EX_ERR_MEMORY;
    }
    status = meet(c, o, cards, &id, error);
    free(cards);
    if (status == EX_OK)
        status =
            check_nccl(ncclCommInitRankConfig(&c->comm, c->base.size, id, c->base.rank, &config), c,
                       "ncclCommInitRankConfig", error);
    if (status == EX_OK)
        status = wait_ready(c, "joining the ranks", o->timeout, error);
    return status == EX_OK
               ? check_cuda(cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking),
                            "cudaStreamCreate", error)
               : status;
}

/* --- leaving -------------------------------------------------------------------------------- */

static void nccl_abort(ex_comm *comm)
{
    nccl_comm *c = inner(comm);
    if (c->comm)
        ncclCommAbort(c->comm);
    c->comm = NULL;
    c->state = IDLE;
}

static void leave(nccl_comm *c)
{
    char error[EX_COMM_TEXT];
    if (!c->comm)
        return;
    const bool finalized =
        check_nccl(ncclCommFinalize(c->comm), c, "ncclCommFinalize", error) == EX_OK &&
        wait_ready(c, "leaving the ranks", c->base.timeout, error) == EX_OK;
    if (finalized)
        ncclCommDestroy(c->comm);
    else
        ncclCommAbort(c->comm);
    c->comm = NULL;
}

static void nccl_destroy(ex_comm **comm)
{
    nccl_comm *c = inner(*comm);
    leave(c);
    if (c->stream)
        cudaStreamDestroy(c->stream);
    cudaFree(c->device);
    cudaFreeHost(c->pinned);
    free(c);
    *comm = NULL;
}

/* --- operations ----------------------------------------------------------------------------- */

static ex_status reserve(nccl_comm *c, size_t bytes, char *error)
{
    if (c->room >= bytes)
        return EX_OK;
    cudaFree(c->device);
    cudaFreeHost(c->pinned);
    c->device = c->pinned = NULL;
    c->room = 0;
    ex_status status = check_cuda(cudaMalloc(&c->device, bytes), "memory for a sum", error);
    if (status == EX_OK)
        status = check_cuda(cudaMallocHost(&c->pinned, bytes), "memory for a sum", error);
    if (status == EX_OK)
        c->room = bytes;
    return status;
}

/* The values to the GPU, ahead of the collective. */
static ex_status send(nccl_comm *c, void *values, size_t bytes)
{
    char *error = c->base.error;
    ex_status status = check_cuda(cudaSetDevice(c->base.gpu), "cudaSetDevice", error);
    if (status == EX_OK)
        status = reserve(c, bytes, error);
    if (status != EX_OK)
        return status;
    memcpy(c->pinned, values, bytes);
    c->values = values;
    c->bytes = bytes;
    c->state = PREPARING;
    return check_cuda(
        cudaMemcpyAsync(c->device, c->pinned, bytes, cudaMemcpyHostToDevice, c->stream),
        "cudaMemcpyAsync", error);
}

static ex_status nccl_begin_sum(ex_comm *comm, int64_t *values, size_t n)
{
    nccl_comm *c = inner(comm);
    const ex_status status = send(c, values, n * sizeof *values);
    return status == EX_OK ? check_nccl(ncclAllReduce(c->device, c->device, n, ncclInt64, ncclSum,
                                                      c->comm, c->stream),
                                        c, "ncclAllReduce", comm->error)
                           : status;
}

static ex_status nccl_begin_broadcast(ex_comm *comm, void *bytes, size_t size, int root)
{
    nccl_comm *c = inner(comm);
    const ex_status status = send(c, bytes, size);
    return status == EX_OK ? check_nccl(ncclBroadcast(c->device, c->device, size, ncclUint8, root,
                                                      c->comm, c->stream),
                                        c, "ncclBroadcast", comm->error)
                           : status;
}

static ex_status nccl_test(ex_comm *comm, bool *done)
{
    nccl_comm *c = inner(comm);
    bool ready;
    *done = false;
    ex_status status = progress(c, "NCCL", &ready, comm->error);
    if (status != EX_OK || !ready)
        return status;
    if (c->state == PREPARING) {
        status = check_cuda(
            cudaMemcpyAsync(c->pinned, c->device, c->bytes, cudaMemcpyDeviceToHost, c->stream),
            "cudaMemcpyAsync", comm->error);
        c->state = RUNNING;
    }
    const cudaError_t queried = status == EX_OK ? cudaStreamQuery(c->stream) : cudaErrorNotReady;
    if (queried == cudaErrorNotReady)
        return status;
    status = check_cuda(queried, "the stream", comm->error);
    if (status != EX_OK)
        return status;
    memcpy(c->values, c->pinned, c->bytes);
    c->state = IDLE;
    *done = true;
    return EX_OK;
}

static ex_status nccl_create(ex_comm **out, const ex_comm_options *options, char *error);

__attribute__((visibility("protected"))) const ex_communicator ex_communicator_module = {
    .abi = EX_COMM_ABI,
    .name = "nccl",
    .create = nccl_create,
    .destroy = nccl_destroy,
    .abort = nccl_abort,
    .begin_sum = nccl_begin_sum,
    .begin_broadcast = nccl_begin_broadcast,
    .test = nccl_test,
};

static ex_status nccl_create(ex_comm **out, const ex_comm_options *options, char *error)
{
    nccl_comm *c = calloc(1, sizeof *c);
    if (!c) {
        snprintf(error, EX_COMM_TEXT, "no memory");
        return EX_ERR_MEMORY;
    }
    c->base = (ex_comm){.kind = &ex_communicator_module,
                        .rank = options->ranks.rank,
                        .size = options->ranks.size,
                        .gpu = -1,
                        .timeout = options->timeout};
    *out = &c->base;
    const ex_status status = join(c, options, error);
    if (status != EX_OK) {
        nccl_abort(*out);
        nccl_destroy(out);
    }
    return status;
}
