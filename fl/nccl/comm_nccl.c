/* Ranks over NCCL, each with a GPU of its own. The module libexcise_nccl.so.
 *
 * The communicator does not block: what is begun is asked for until it is there, so that a rank
 * that has lost the others can give up. Values lie on the host; they pass through pinned memory and
 * the GPU. An operation goes through the states below; nothing may be queued behind a collective
 * that NCCL still prepares. */
#include "gpus.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

enum { LEAVE_SECONDS = 5 };

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

/* --- errors --------------------------------------------------------------------------------- */

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
    const double deadline = ex_now() + timeout;
    for (bool ready = false;;) {
        const ex_status status = progress(c, what, &ready, error);
        if (status != EX_OK || ready)
            return status;
        if (ex_now() > deadline) {
            snprintf(error, EX_COMM_TEXT, "%s: not all ranks came within %g s (comm_timeout)", what,
                     timeout);
            return EX_ERR_BACKEND;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* --- joining and leaving --------------------------------------------------------------------- */

static void nccl_abort(ex_comm *comm)
{
    nccl_comm *c = inner(comm);
    if (c->comm)
        ncclCommAbort(c->comm);
    c->comm = NULL;
    c->state = IDLE;
}

static void release(nccl_comm *c)
{
    if (c->stream)
        cudaStreamDestroy(c->stream);
    cudaFree(c->device);
    cudaFreeHost(c->pinned);
}

static ex_status join(nccl_comm *c, const ex_comm_options *o)
{
    char *error = c->base.error;
    ncclUniqueId id = {{0}};
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ex_status status = ex_nccl_gather(&c->base.gpu, &id, o, error);
    if (status == EX_OK)
        status =
            check_nccl(ncclCommInitRankConfig(&c->comm, c->base.size, id, c->base.rank, &config), c,
                       "ncclCommInitRankConfig", error);
    if (status == EX_OK)
        status = wait_ready(c, "joining the ranks", o->timeout, error);
    if (status == EX_OK)
        status = ex_nccl_check_cuda(cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking),
                                    "cudaStreamCreate", error);
    return status;
}

static ex_status nccl_join(ex_comm *comm, const ex_comm_options *options)
{
    const ex_status status = join(inner(comm), options);
    if (status != EX_OK) {
        nccl_abort(comm);
        release(inner(comm));
    }
    return status;
}

/* Nothing is owed to the others any more: one of them may have ended without leaving. */
static void finalize(nccl_comm *c)
{
    char error[EX_COMM_TEXT];
    const double patience = c->base.timeout < LEAVE_SECONDS ? c->base.timeout : LEAVE_SECONDS;
    const bool finalized =
        check_nccl(ncclCommFinalize(c->comm), c, "ncclCommFinalize", error) == EX_OK &&
        wait_ready(c, "leaving the ranks", patience, error) == EX_OK;
    if (finalized)
        ncclCommDestroy(c->comm);
    else
        ncclCommAbort(c->comm);
    c->comm = NULL;
}

static void nccl_leave(ex_comm *comm)
{
    nccl_comm *c = inner(comm);
    if (c->comm)
        finalize(c);
    release(c);
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
    ex_status status = ex_nccl_check_cuda(cudaMalloc(&c->device, bytes), "memory for a sum", error);
    if (status == EX_OK)
        status = ex_nccl_check_cuda(cudaMallocHost(&c->pinned, bytes), "memory for a sum", error);
    if (status == EX_OK)
        c->room = bytes;
    return status;
}

/* The values to the GPU, ahead of the collective. */
static ex_status send(nccl_comm *c, void *values, size_t bytes)
{
    char *error = c->base.error;
    ex_status status = ex_nccl_check_cuda(cudaSetDevice(c->base.gpu), "cudaSetDevice", error);
    if (status == EX_OK)
        status = reserve(c, bytes, error);
    if (status != EX_OK)
        return status;
    memcpy(c->pinned, values, bytes);
    c->values = values;
    c->bytes = bytes;
    c->state = PREPARING;
    return ex_nccl_check_cuda(
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
        status = ex_nccl_check_cuda(
            cudaMemcpyAsync(c->pinned, c->device, c->bytes, cudaMemcpyDeviceToHost, c->stream),
            "cudaMemcpyAsync", comm->error);
        c->state = RUNNING;
    }
    const cudaError_t queried = status == EX_OK ? cudaStreamQuery(c->stream) : cudaErrorNotReady;
    if (queried == cudaErrorNotReady)
        return status;
    status = ex_nccl_check_cuda(queried, "the stream", comm->error);
    if (status != EX_OK)
        return status;
    memcpy(c->values, c->pinned, c->bytes);
    c->state = IDLE;
    *done = true;
    return EX_OK;
}

__attribute__((visibility("protected"))) const ex_communicator ex_communicator_module = {
    .abi = EX_COMM_ABI,
    .name = "nccl",
    .size = sizeof(nccl_comm),
    .usable = ex_nccl_usable,
    .join = nccl_join,
    .leave = nccl_leave,
    .abort = nccl_abort,
    .begin_sum = nccl_begin_sum,
    .begin_broadcast = nccl_begin_broadcast,
    .test = nccl_test,
};
