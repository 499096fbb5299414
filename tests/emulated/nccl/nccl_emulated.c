#include "nccl_emulated.h"

#include <cuda_runtime.h>
#include <limits.h>
#include <nccl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUPS = 64, RANKS = 8, OPERATIONS = 4096, QUEUE = 8, POLLS = 3 };

typedef struct operation {
    int arrived, taken;
    size_t bytes;
    void *result;
} operation;

/* Communicators of one unique id. */
typedef struct group {
    char id[NCCL_UNIQUE_ID_BYTES];
    int size, joined;
    int gpu[RANKS];
    operation operations[OPERATIONS];
} group;

struct ncclComm {
    group *g;
    int rank, gpu;
    int polls; /* GetAsyncError calls until what was begun is taken up */
    int begun; /* collectives */
    bool failed;
};

typedef struct item {
    void *to;
    const void *from;
    size_t bytes; /* of a copy */
    ncclComm_t comm;
    int number, root; /* of a collective; root -1: a sum */
    bool deposited;
} item;

struct CUstream_st {
    item queue[QUEUE];
    int count;
    ncclComm_t preparing;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static group groups[GROUPS];
static int group_count, inits, aborts, left, gpus;
static int fail_rank, fail_from, hang_rank, hang_from;
static bool stays;
static char violation[256];
static _Thread_local int device;

void ex_nccl_reset(void)
{
    for (int i = 0; i < group_count; i++)
        for (int o = 0; o < OPERATIONS; o++)
            free(groups[i].operations[o].result);
    memset(groups, 0, sizeof groups);
    group_count = inits = aborts = left = 0;
    fail_rank = hang_rank = -1;
    stays = false;
    gpus = EX_EMULATED_GPUS;
    violation[0] = '\0';
}

const char *ex_nccl_violation(void)
{
    return violation[0] ? violation : NULL;
}

void ex_nccl_fail(int rank, int first)
{
    fail_rank = rank, fail_from = first;
}

void ex_nccl_hang(int rank, int first)
{
    hang_rank = rank, hang_from = first;
}

void ex_nccl_stay(void)
{
    stays = true;
}

void ex_nccl_set_gpus(int count)
{
    gpus = count;
}

int ex_nccl_inits(void)
{
    return inits;
}

int ex_nccl_aborts(void)
{
    return aborts;
}

int ex_nccl_left(void)
{
    return left;
}

static void add(int *counter, int by)
{
    pthread_mutex_lock(&lock);
    *counter += by;
    pthread_mutex_unlock(&lock);
}

static void violate(const char *text)
{
    pthread_mutex_lock(&lock);
    if (!violation[0])
        snprintf(violation, sizeof violation, "%s", text);
    pthread_mutex_unlock(&lock);
}

/* --- CUDA ----------------------------------------------------------------------------------- */

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = gpus;
    return gpus ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaSetDevice(int index)
{
    device = index;
    return index < gpus ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int room, int index)
{
    snprintf(id, (size_t)room, "0000:%02x:00.0", 0x17 + index);
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t code)
{
    (void)code;
    return "an emulated error";
}

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    *out = malloc(bytes);
    add(&left, 1);
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **out, size_t bytes)
{
    return cudaMalloc(out, bytes);
}

cudaError_t cudaFree(void *memory)
{
    if (memory)
        add(&left, -1);
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *memory)
{
    return cudaFree(memory);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    *out = calloc(1, sizeof **out);
    if (flags != cudaStreamNonBlocking)
        violate("the stream waits for the default stream");
    add(&left, 1);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    free(stream);
    add(&left, -1);
    return cudaSuccess;
}

static void push(cudaStream_t stream, item i)
{
    if (stream->preparing && stream->preparing->polls > 0)
        violate("work was queued behind a collective that NCCL still prepares");
    if (stream->count == QUEUE)
        violate("the stream grows without end");
    else
        stream->queue[stream->count++] = i;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    (void)kind;
    push(stream, (item){.to = to, .from = from, .bytes = bytes});
    return cudaSuccess;
}

static void deposit(operation *o, const item *i)
{
    if (!o->result) {
        o->result = calloc(1, i->bytes);
        o->bytes = i->bytes;
    }
    if (o->bytes != i->bytes) {
        snprintf(violation, sizeof violation, "the ranks' collectives differ in size");
    } else if (i->root < 0) {
        int64_t *sum = o->result;
        const int64_t *part = i->from;
        for (size_t k = 0; k < i->bytes / sizeof *sum; k++)
            sum[k] += part[k];
    } else if (i->root == i->comm->rank) {
        memcpy(o->result, i->from, i->bytes);
    }
    o->arrived++;
}

/* The collective's part of this rank; true when it is done. */
static bool collect(item *i)
{
    group *g = i->comm->g;
    operation *o = &g->operations[i->number];
    if (i->comm->rank == hang_rank && i->number >= hang_from)
        return false;
    pthread_mutex_lock(&lock);
    if (!i->deposited)
        deposit(o, i);
    i->deposited = true;
    const bool done = o->arrived == g->size;
    if (done) {
        memcpy(i->to, o->result, i->bytes);
        if (++o->taken == g->size) {
            free(o->result);
            o->result = NULL;
        }
    }
    pthread_mutex_unlock(&lock);
    return done;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    while (stream->count > 0) {
        item *first = &stream->queue[0];
        if (first->comm && !collect(first))
            return cudaErrorNotReady;
        if (!first->comm)
            memcpy(first->to, first->from, first->bytes);
        memmove(first, first + 1, (size_t)--stream->count * sizeof *first);
    }
    return cudaSuccess;
}

/* --- NCCL ----------------------------------------------------------------------------------- */

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    static int number;
    add(&number, 1);
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "group %d", number);
    return ncclSuccess;
}

/* The caller holds the lock. */
static group *find_group(const ncclUniqueId *id, int size)
{
    for (int i = 0; i < group_count; i++)
        if (memcmp(groups[i].id, id->internal, sizeof groups[i].id) == 0)
            return &groups[i];
    group *g = &groups[group_count++];
    memcpy(g->id, id->internal, sizeof g->id);
    g->size = size;
    return g;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *out, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t *config)
{
    if (config->blocking != 0)
        violate("the communicator blocks");
    *out = calloc(1, sizeof **out);
    pthread_mutex_lock(&lock);
    group *g = find_group(&id, size);
    for (int i = 0; i < g->joined; i++)
        if (g->gpu[i] == device && !violation[0])
            snprintf(violation, sizeof violation, "GPU %d is in a communicator twice", device);
    g->gpu[g->joined++] = device;
    inits++;
    left++;
    pthread_mutex_unlock(&lock);
    **out = (struct ncclComm){.g = g, .rank = rank, .gpu = device, .polls = POLLS};
    return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *standing)
{
    pthread_mutex_lock(&lock);
    const bool all = comm->g->joined == comm->g->size;
    pthread_mutex_unlock(&lock);
    if (comm->polls > 0 && all)
        comm->polls--;
    *standing = comm->failed ? ncclRemoteError : comm->polls > 0 ? ncclInProgress : ncclSuccess;
    return ncclSuccess;
}

static ncclResult_t begin(ncclComm_t comm, cudaStream_t stream, item i)
{
    if (comm->polls > 0)
        violate("a communicator in progress was given more to do");
    if (device != comm->gpu)
        violate("another GPU is current");
    i.comm = comm;
    i.number = comm->begun++;
    comm->polls = POLLS;
    comm->failed = comm->rank == fail_rank && i.number >= fail_from;
    stream->preparing = NULL;
    push(stream, i);
    stream->preparing = comm;
    return ncclInProgress;
}

ncclResult_t ncclAllReduce(const void *from, void *to, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream)
{
    if (type != ncclInt64 || op != ncclSum)
        violate("a sum of something else than int64");
    return begin(comm, stream,
                 (item){.to = to, .from = from, .bytes = count * sizeof(int64_t), .root = -1});
}

ncclResult_t ncclBroadcast(const void *from, void *to, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream)
{
    if (type != ncclUint8)
        violate("a broadcast of something else than bytes");
    return begin(comm, stream, (item){.to = to, .from = from, .bytes = count, .root = root});
}

ncclResult_t ncclCommFinalize(ncclComm_t comm)
{
    comm->polls = stays ? INT_MAX : POLLS;
    return ncclInProgress;
}

static void release(ncclComm_t comm)
{
    free(comm);
    add(&left, -1);
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    if (comm->polls > 0)
        violate("a communicator in progress was destroyed");
    release(comm);
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    release(comm);
    add(&aborts, 1);
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t code)
{
    return code == ncclRemoteError ? "remote process exited or there was a network error"
                                   : "an emulated error";
}

const char *ncclGetLastError(ncclComm_t comm)
{
    (void)comm;
    return "";
}
