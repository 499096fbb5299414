/* Ranks over MPI: processes of one machine or many, without GPUs. The module libexcise_mpi.so. */
#include "comm_impl.h"

#include "base/clock.h"

#include <mpi.h>
#include <stdio.h>

typedef struct mpi_comm {
    ex_comm base;
    MPI_Request request;
    bool aborted;
} mpi_comm;

static mpi_comm *inner(ex_comm *comm)
{
    return (mpi_comm *)comm;
}

/* EX_OK, or the text of MPI's error code into error. */
static ex_status check(int code, char *error)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length;
    if (code == MPI_SUCCESS)
        return EX_OK;
    MPI_Error_string(code, text, &length);
    snprintf(error, EX_COMM_TEXT, "%s", text);
    return EX_ERR_BACKEND;
}

/* --- joining and leaving -------------------------------------------------------------------- */

/* Threads take turns: rank 0's sign of life comes from another thread than its rounds. */
static ex_status check_threads(int provided, char *error)
{
    if (provided >= MPI_THREAD_SERIALIZED)
        return EX_OK;
    snprintf(error, EX_COMM_TEXT,
             "this MPI lets only one thread call it (it provides the thread level %d, and %d, "
             "MPI_THREAD_SERIALIZED, is needed); take an MPI that was built with threads",
             provided, MPI_THREAD_SERIALIZED);
    return EX_ERR_UNSUPPORTED;
}

/* Waits for all ranks that the launcher has started: it ends them all if one cannot come. */
static ex_status init(char *error)
{
    int done = 0, provided = MPI_THREAD_SINGLE;
    ex_status status = check(MPI_Initialized(&done), error);
    if (status == EX_OK)
        status = done ? check(MPI_Query_thread(&provided), error)
                      : check(MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided), error);
    if (status == EX_OK && check_threads(provided, error) != EX_OK) {
        MPI_Finalize(); /* all ranks get the same, and may go on without MPI */
        return EX_ERR_UNSUPPORTED;
    }
    if (status == EX_OK)
        status = check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), error);
    return status;
}

static ex_status mpi_join(ex_comm *comm, const ex_comm_options *options)
{
    int rank = 0, size = 0;
    ex_status status = init(comm->error);
    if (status == EX_OK)
        status = check(MPI_Comm_rank(MPI_COMM_WORLD, &rank), comm->error);
    if (status == EX_OK)
        status = check(MPI_Comm_size(MPI_COMM_WORLD, &size), comm->error);
    if (status != EX_OK || (rank == options->ranks.rank && size == options->ranks.size))
        return status;
    snprintf(comm->error, EX_COMM_TEXT,
             "MPI says rank %d of %d; start with the mpirun of the MPI that excise was built "
             "with, or with srun --mpi=pmix",
             rank, size);
    return EX_ERR_CONFIG;
}

/* Whether all ranks came to leave; MPI_Finalize waits for ever for one that hangs. */
static bool all_leave(const mpi_comm *c)
{
    const double deadline = ex_now() + c->base.timeout;
    MPI_Request all;
    int here = 0;
    if (c->aborted || MPI_Ibarrier(MPI_COMM_WORLD, &all) != MPI_SUCCESS)
        return false;
    while (!here && ex_now() < deadline) {
        if (MPI_Test(&all, &here, MPI_STATUS_IGNORE) != MPI_SUCCESS)
            return false;
        if (!here)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return here != 0;
}

static void mpi_leave(ex_comm *comm)
{
    if (all_leave(inner(comm)))
        MPI_Finalize();
}

/* The launcher ends the other ranks when this one ends without MPI_Finalize. */
static void mpi_abort(ex_comm *comm)
{
    inner(comm)->aborted = true;
}

/* --- operations ----------------------------------------------------------------------------- */

static ex_status mpi_begin_sum(ex_comm *comm, int64_t *values, size_t n)
{
    return check(MPI_Iallreduce(MPI_IN_PLACE, values, (int)n, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD,
                                &inner(comm)->request),
                 comm->error);
}

static ex_status mpi_begin_broadcast(ex_comm *comm, void *bytes, size_t size, int root)
{
    return check(
        MPI_Ibcast(bytes, (int)size, MPI_BYTE, root, MPI_COMM_WORLD, &inner(comm)->request),
        comm->error);
}

static ex_status mpi_test(ex_comm *comm, bool *done)
{
    int flag = 0;
    const ex_status status =
        check(MPI_Test(&inner(comm)->request, &flag, MPI_STATUS_IGNORE), comm->error);
    *done = flag != 0;
    return status;
}

__attribute__((visibility("protected"))) const ex_communicator ex_communicator_module = {
    .abi = EX_COMM_ABI,
    .name = "mpi",
    .size = sizeof(mpi_comm),
    .join = mpi_join,
    .leave = mpi_leave,
    .abort = mpi_abort,
    .begin_sum = mpi_begin_sum,
    .begin_broadcast = mpi_begin_broadcast,
    .test = mpi_test,
};
