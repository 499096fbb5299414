/* Communication between the processes (ranks) that share a federation's work.
 *
 * Every rank calls the same operations in the same order, one at a time, from any of its threads.
 * Sums are of integers, so that neither the number of ranks nor their order changes a bit. An
 * operation that the others do not join within the timeout is given up: EX_ERR_BACKEND, and the
 * communicator is broken, which makes every later call fail at once. */
#ifndef EX_COMM_H
#define EX_COMM_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ex_comm ex_comm;

enum { EX_RANKS_MAX = 1024, EX_COMM_VERSION_ROOM = 128 };

/* What started this process, and as which of how many. */
typedef struct ex_ranks {
    int rank, size;
    int local_rank;       /* among the ranks of this machine, where that is told; else rank */
    const char *launcher; /* "mpirun", "srun", "torchrun"; "" for a process by itself */
} ex_ranks;

/* Reads the environment of mpirun (Open MPI, MPICH), srun and torchrun. EX_ERR_CONFIG where it
 * makes no sense, or tells of several processes but not which of them this is. */
ex_status ex_ranks_find(ex_ranks *out);

typedef struct ex_comm_options {
    ex_ranks ranks;
    const char *name;   /* auto, local, mpi or nccl */
    const char *device; /* as in the configuration: what `auto` goes by, and nccl's GPU */
    const char *file;   /* nccl: where ranks meet; all must be able to write there */
    double timeout;     /* seconds */
} ex_comm_options;

/* Joins the other ranks, which call the same. `auto` is local for one rank, nccl where every rank
 * has a GPU to use, mpi where none has. EX_ERR_CONFIG for an unknown name, for local where several
 * ranks were started, and where some ranks have a GPU and others have not; EX_ERR_UNSUPPORTED for
 * one that is not built or cannot be used here, saying why. */
ex_status ex_comm_create(ex_comm **out, const ex_comm_options *options);
void ex_comm_destroy(ex_comm **comm);

int ex_comm_rank(const ex_comm *comm);
int ex_comm_size(const ex_comm *comm);
const char *ex_comm_name(const ex_comm *comm);
/* The GPU that the communicator has taken for this rank, or -1. */
int ex_comm_gpu(const ex_comm *comm);
/* Seconds that an operation waits for the others. */
double ex_comm_timeout(const ex_comm *comm);
/* Whether an operation has failed, or the communicator was given up. */
bool ex_comm_broken(const ex_comm *comm);

/* values (n) become the sums over all ranks, on all ranks. They may not overflow. */
ex_status ex_comm_sum(ex_comm *comm, int64_t *values, size_t n);
/* bytes (size) become those of rank `root`, on all ranks. */
ex_status ex_comm_broadcast(ex_comm *comm, void *bytes, size_t size, int root);
/* Returns when all ranks have called it. */
ex_status ex_comm_barrier(ex_comm *comm);
/* Gives it up: the others' operations fail, at the latest by their timeout. */
void ex_comm_abort(ex_comm *comm);

/* Every rank's status (size) goes in at its place, the others 0; if they differ from EX_OK after
 * ex_comm_sum, all ranks get the first rank's that failed, and its message. */
ex_status ex_comm_settle(ex_comm *comm, const int64_t *statuses);
/* The same for a step that each rank did by itself, and that ended here with `mine`. */
ex_status ex_comm_agree(ex_comm *comm, ex_status mine);

/* "Open MPI v4.1.4": the MPI that ranks would use here, which this loads; "" if there is none. */
void ex_comm_mpi_version(char text[EX_COMM_VERSION_ROOM]);

#endif
