/* What all communicators have in common: waiting with a timeout, errors, agreement. */
#include "comm_impl.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    MESSAGE_MAX = 2048,
    PART = 1 << 24, /* of one operation: libraries count in int */
    PAUSE_MIN = 10000,
    PAUSE_MAX = 1000000, /* nanoseconds: waiting takes no core from those who still train */
};

int ex_comm_rank(const ex_comm *comm)
{
    return comm->rank;
}

int ex_comm_size(const ex_comm *comm)
{
    return comm->size;
}

const char *ex_comm_name(const ex_comm *comm)
{
    return comm->kind->name;
}

int ex_comm_gpu(const ex_comm *comm)
{
    return comm->gpu;
}

double ex_comm_timeout(const ex_comm *comm)
{
    return comm->timeout;
}

bool ex_comm_broken(const ex_comm *comm)
{
    return comm->broken;
}

/* --- operations ----------------------------------------------------------------------------- */

void ex_comm_abort(ex_comm *comm)
{
    if (comm->size == 1 || comm->broken)
        return;
    comm->broken = true;
    comm->kind->abort(comm);
}

static ex_status broken(ex_comm *comm)
{
    return EX_FAIL(EX_ERR_BACKEND, "rank %d of %d: the ranks have lost each other", comm->rank,
                   comm->size);
}

static ex_status failed(ex_comm *comm, const char *what)
{
    char text[EX_COMM_TEXT];
    snprintf(text, sizeof text, "%s", comm->error);
    ex_comm_abort(comm);
    return EX_FAIL(EX_ERR_BACKEND, "rank %d of %d: %s over %s failed: %s", comm->rank, comm->size,
                   what, comm->kind->name, text);
}

static ex_status timed_out(ex_comm *comm, const char *what)
{
    ex_comm_abort(comm);
    return EX_FAIL(EX_ERR_BACKEND,
                   "rank %d of %d: another rank did not join %s within %g s (comm_timeout): it has "
                   "ended, hangs or is slower",
                   comm->rank, comm->size, what, comm->timeout);
}

static ex_status wait_for(ex_comm *comm, const char *what)
{
    const double start = ex_now();
    struct timespec pause = {.tv_nsec = PAUSE_MIN};
    for (bool done = false;;) {
        if (comm->kind->test(comm, &done) != EX_OK)
            return failed(comm, what);
        if (done)
            return EX_OK;
        if (ex_now() - start > comm->timeout)
            return timed_out(comm, what);
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < PAUSE_MAX)
            pause.tv_nsec *= 2;
    }
}

ex_status ex_comm_sum(ex_comm *comm, int64_t *values, size_t n)
{
    if (comm->broken)
        return broken(comm);
    for (size_t done = 0; done < n && comm->size > 1; done += PART) {
        const size_t part = n - done < PART ? n - done : PART;
        if (comm->kind->begin_sum(comm, values + done, part) != EX_OK)
            return failed(comm, "a sum");
        EX_TRY(wait_for(comm, "a sum"));
    }
    return EX_OK;
}

ex_status ex_comm_broadcast(ex_comm *comm, void *bytes, size_t size, int root)
{
    EX_CHECK_ARG(root >= 0 && root < comm->size, "root %d of %d ranks", root, comm->size);
    if (comm->broken)
        return broken(comm);
    for (size_t done = 0; done < size && comm->size > 1; done += PART) {
        const size_t part = size - done < PART ? size - done : PART;
        if (comm->kind->begin_broadcast(comm, (char *)bytes + done, part, root) != EX_OK)
            return failed(comm, "a broadcast");
        EX_TRY(wait_for(comm, "a broadcast"));
    }
    return EX_OK;
}

ex_status ex_comm_barrier(ex_comm *comm)
{
    int64_t one = 1;
    return ex_comm_sum(comm, &one, 1);
}

/* --- agreement ------------------------------------------------------------------------------ */

ex_status ex_comm_settle(ex_comm *comm, const int64_t *statuses)
{
    char text[MESSAGE_MAX] = "";
    int rank = 0;
    while (rank < comm->size && statuses[rank] == EX_OK)
        rank++;
    if (rank == comm->size)
        return EX_OK;
    /* Of another process: what is no status would be used as one. */
    const bool known = statuses[rank] > 0 && statuses[rank] < EX_STATUS_COUNT;
    const ex_status status = known ? (ex_status)statuses[rank] : EX_ERR_INTERNAL;
    if (comm->size == 1)
        return status; /* its message stands */
    /* What went wrong with the numbers is the federation's affair; else the machine matters. */
    if (rank == comm->rank && (status == EX_ERR_NUMERIC || status == EX_ERR_INTERRUPTED))
        snprintf(text, sizeof text, "%s", ex_error_message());
    else if (rank == comm->rank)
        snprintf(text, sizeof text, "rank %d of %d: %s", rank, comm->size, ex_error_message());
    EX_TRY(ex_comm_broadcast(comm, text, sizeof text, rank));
    text[sizeof text - 1] = '\0';
    return EX_FAIL(status, "%s", text);
}

ex_status ex_comm_agree(ex_comm *comm, ex_status mine)
{
    int64_t statuses[EX_RANKS_MAX] = {0};
    if (comm->size == 1)
        return mine;
    statuses[comm->rank] = (int64_t)mine;
    EX_TRY(ex_comm_sum(comm, statuses, (size_t)comm->size));
    return ex_comm_settle(comm, statuses);
}
