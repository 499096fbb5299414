/* Opening a federation on several ranks: each opens the same, and all hear how that went. */
#include "federation_impl.h"
#include "share.h"

#include <stdio.h>
#include <string.h>

/* Each rank has the GPU that its communicator took. */
static ex_config config_here(const ex_config *config, const ex_comm *comm)
{
    ex_config here = *config;
    if (ex_comm_gpu(comm) >= 0 && strcmp(config->device, "cpu") != 0)
        snprintf(here.device, sizeof here.device, "cuda:%d", ex_comm_gpu(comm));
    return here;
}

/* Ranks that compute on different back ends would give bits that depend on who trains whom. */
static ex_status agree_on_device(ex_comm *comm, const ex_federation *f, ex_status mine)
{
    char first[32] = "";
    const char *here = mine == EX_OK ? f->device->backend->name : "";
    if (ex_comm_rank(comm) == 0)
        snprintf(first, sizeof first, "%s", here);
    EX_TRY(ex_comm_broadcast(comm, first, sizeof first, 0));
    first[sizeof first - 1] = '\0';
    if (mine == EX_OK && first[0] && strcmp(here, first) != 0)
        mine = EX_FAIL(EX_ERR_CONFIG,
                       "it computes on %s, but rank 0 on %s; name a device that all ranks have",
                       here, first);
    return ex_comm_agree(comm, mine);
}

ex_status ex_federation_join(ex_federation **out, const ex_config *config, ex_comm **comm)
{
    const ex_config here = config_here(config, *comm);
    *out = NULL;
    ex_status status = ex_federation_open_alone(out, &here);
    if (status == EX_OK)
        status = ex_share_create(&(*out)->share, *out, *comm);
    status = agree_on_device(*comm, *out, status);
    if (status != EX_OK) {
        ex_federation_close(out);
        return status;
    }
    (*out)->comm = *comm;
    *comm = NULL;
    ex_share_rest(*out);
    return EX_OK;
}

ex_status ex_federation_open_shared(ex_federation **out, const ex_config *config, ex_comm **comm)
{
    *out = NULL;
    if (ex_comm_size(*comm) == 1) {
        ex_comm_destroy(comm);
        return ex_federation_open(out, config);
    }
    ex_status status = ex_share_open(*comm, config);
    if (status == EX_OK)
        status = ex_federation_join(out, config, comm);
    ex_comm_destroy(comm); /* after an error; the others have seen it too */
    return status;
}
