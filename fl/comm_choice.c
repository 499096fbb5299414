/* Which communicator a run gets: the one that is named, or for `auto` one on which the ranks agree.
 *
 * A rank that chose for itself could end up alone: it finds a GPU, the next does not, and each
 * waits for the other over something else. Where mpirun started them they ask each other over MPI
 * first; with other launchers MPI may be of no use (or end the process when it is tried), so what
 * decides is NCCL's meeting, to which ranks without a GPU come too. */
#include "comm_impl.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

static bool wants_gpu(const char *device)
{
    return strncmp(device, "cuda", 4) == 0;
}

ex_status ex_comm_create_as(ex_comm **out, const ex_communicator *kind,
                            const ex_comm_options *options)
{
    const ex_ranks *ranks = &options->ranks;
    ex_comm *comm;
    *out = NULL;
    EX_TRY(ex_alloc(&comm, 1, kind->size, "communicator"));
    *comm = (ex_comm){.kind = kind,
                      .rank = ranks->rank,
                      .size = ranks->size,
                      .gpu = -1,
                      .timeout = options->timeout};
    const ex_status status = kind->join ? kind->join(comm, options) : EX_OK;
    if (status != EX_OK) {
        EX_FAIL(status, "rank %d of %d, communicator %s: %s", ranks->rank, ranks->size, kind->name,
                comm->error);
        ex_free(&comm);
        return status;
    }
    *out = comm;
    return EX_OK;
}

void ex_comm_destroy(ex_comm **comm)
{
    if (*comm && (*comm)->kind->leave)
        (*comm)->kind->leave(*comm);
    ex_free(comm);
}

static ex_status create_local(ex_comm **out, const ex_comm_options *o)
{
    if (o->ranks.size > 1)
        return EX_FAIL(EX_ERR_CONFIG,
                       "comm is local, but this is rank %d of %d that %s started: each would do "
                       "the whole run, all in one folder; take comm=auto, or start one process",
                       o->ranks.rank, o->ranks.size, o->ranks.launcher);
    return ex_comm_create_as(out, &ex_communicator_local, o);
}

static ex_status create(ex_comm **out, const char *name, const ex_comm_options *options)
{
    const ex_communicator *kind;
    if (strcmp(name, "local") == 0)
        return create_local(out, options);
    EX_TRY(ex_comm_module(&kind, name));
    return ex_comm_create_as(out, kind, options);
}

/* --- auto ----------------------------------------------------------------------------------- */

/* Whether this rank could take NCCL; the message says why not. */
static ex_status find_nccl(const ex_comm_options *o)
{
    const ex_communicator *nccl;
    char error[EX_COMM_TEXT] = "";
    if (strcmp(o->device, "cpu") == 0)
        return EX_FAIL(EX_ERR_UNSUPPORTED, "its device is cpu");
    EX_TRY(ex_comm_module(&nccl, "nccl"));
    const ex_status status = nccl->usable(o, error);
    return status == EX_OK ? status : EX_FAIL(status, "%s", error);
}

/* What rank `rank` has for an answer, on all of them. */
static ex_status hear(ex_comm *comm, int rank, char answer[EX_COMM_TEXT])
{
    if (ex_comm_rank(comm) == rank)
        snprintf(answer, EX_COMM_TEXT, "%s", ex_error_message());
    EX_TRY(ex_comm_broadcast(comm, answer, EX_COMM_TEXT, rank));
    answer[EX_COMM_TEXT - 1] = '\0';
    return EX_OK;
}

ex_status ex_comm_ask_nccl(ex_comm *comm, ex_status mine)
{
    int64_t answers[EX_RANKS_MAX] = {0};
    char why[EX_COMM_TEXT] = "";
    const int size = ex_comm_size(comm);
    int can = 0, cannot = 0;
    answers[ex_comm_rank(comm)] = (int64_t)mine;
    EX_TRY(ex_comm_sum(comm, answers, (size_t)size));
    while (can < size && answers[can] != EX_OK)
        can++;
    while (cannot < size && answers[cannot] == EX_OK)
        cannot++;
    if (cannot == size)
        return EX_OK;
    EX_TRY(hear(comm, cannot, why));
    if (can == size)
        return EX_FAIL(EX_ERR_UNSUPPORTED, "%s", why);
    return EX_FAIL(
        EX_ERR_CONFIG,
        "rank %d of %d could talk over nccl, but rank %d cannot: %s; let every rank have "
        "a GPU, or take comm=mpi and device=cpu for all",
        can, size, cannot, why);
}

/* *out NULL: they all take NCCL. */
static ex_status stay_or_leave(ex_comm **comm, const ex_comm_options *o)
{
    const ex_status asked = ex_comm_ask_nccl(*comm, find_nccl(o));
    const bool stays = asked == EX_ERR_UNSUPPORTED && !wants_gpu(o->device);
    if (!stays)
        ex_comm_destroy(comm);
    return stays ? EX_OK : asked;
}

static ex_status choose_by_meeting(ex_comm **out, const ex_comm_options *o)
{
    if (strcmp(o->device, "cpu") == 0)
        return create(out, "mpi", o);
    const ex_status status = create(out, "nccl", o);
    return status == EX_ERR_UNSUPPORTED && !wants_gpu(o->device) ? create(out, "mpi", o) : status;
}

static ex_status create_auto(ex_comm **out, const ex_comm_options *o)
{
    if (o->ranks.size == 1)
        return create_local(out, o);
    if (strcmp(o->ranks.launcher, "mpirun") != 0)
        return choose_by_meeting(out, o);
    const ex_status status = create(out, "mpi", o);
    /* Not built, or not that mpirun's, which is so on all ranks. */
    if (status == EX_ERR_UNSUPPORTED || status == EX_ERR_CONFIG)
        return choose_by_meeting(out, o);
    EX_TRY(status);
    EX_TRY(stay_or_leave(out, o));
    return *out ? EX_OK : create(out, "nccl", o);
}

ex_status ex_comm_create(ex_comm **out, const ex_comm_options *options)
{
    static const char *const names[] = {"local", "mpi", "nccl"};
    *out = NULL;
    if (strcmp(options->name, "auto") == 0)
        return create_auto(out, options);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(options->name, names[i]) == 0)
            return create(out, names[i], options);
    return EX_FAIL(EX_ERR_CONFIG, "communicator \"%s\"; one of auto, local, mpi, nccl",
                   options->name);
}
