/* Communication between the processes that share a federation's work: a vtable, chosen by name.
 * `local` is one process; the seam is where MPI and NCCL go.
 *
 * Every rank calls the same operations in the same order. Sums over ranks are added in the order of
 * ranks, so they are the same bits for the same number of ranks. */
#ifndef EX_COMM_H
#define EX_COMM_H

#include "base/status.h"

#include <stddef.h>

typedef struct ex_comm ex_comm;

typedef struct ex_communicator {
    const char *name;
    ex_status (*create)(ex_comm **out);
    void (*destroy)(ex_comm **comm);
    ex_status (*sum)(ex_comm *comm, double *values, size_t n);
    ex_status (*broadcast)(ex_comm *comm, void *bytes, size_t size, int root);
} ex_communicator;

/* What every communicator's own struct starts with. */
struct ex_comm {
    const ex_communicator *kind;
    int rank, size;
};

extern const ex_communicator ex_communicator_local;

/* EX_ERR_CONFIG listing the names for an unknown one. */
ex_status ex_comm_create(ex_comm **out, const char *name);
void ex_comm_destroy(ex_comm **comm);
/* values (n) become the sums over all ranks, on all ranks. */
ex_status ex_comm_sum(ex_comm *comm, double *values, size_t n);
/* bytes (size) become those of rank `root`, on all ranks. */
ex_status ex_comm_broadcast(ex_comm *comm, void *bytes, size_t size, int root);

#endif
