/* The table of communicators. */
#include "comm.h"

#include <string.h>

static const ex_communicator *const communicators[] = {&ex_communicator_local};

ex_status ex_comm_create(ex_comm **out, const char *name)
{
    for (size_t i = 0; i < sizeof communicators / sizeof *communicators; i++)
        if (strcmp(communicators[i]->name, name) == 0)
            return communicators[i]->create(out);
    return EX_FAIL(EX_ERR_CONFIG, "communicator \"%s\"; one of local", name);
}

void ex_comm_destroy(ex_comm **comm)
{
    if (*comm)
        (*comm)->kind->destroy(comm);
}

ex_status ex_comm_sum(ex_comm *comm, double *values, size_t n)
{
    return comm->kind->sum(comm, values, n);
}

ex_status ex_comm_broadcast(ex_comm *comm, void *bytes, size_t size, int root)
{
    EX_CHECK_ARG(root >= 0 && root < comm->size, "root %d of %d ranks", root, comm->size);
    return comm->kind->broadcast(comm, bytes, size, root);
}
