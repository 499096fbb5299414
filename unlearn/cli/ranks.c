#include "ranks.h"

#include "io/file.h"
#include "share.h"

#include <limits.h>

static bool reported;

ex_status cli_join(ex_comm **comm, const ex_config *config, const char *output)
{
    char file[PATH_MAX] = "";
    ex_comm_options options = {.name = ex_config_choice(config, "comm"),
                               .device = config->device,
                               .file = config->comm.file,
                               .timeout = config->comm.timeout};
    EX_TRY(ex_ranks_find(&options.ranks));
    if (!config->comm.file[0]) {
        ex_append(file, sizeof file, "%s.comm", output);
        options.file = file;
    }
    return ex_comm_create(comm, &options);
}

ex_status cli_serve(ex_comm **comm)
{
    return ex_federation_serve(comm, &reported);
}

bool cli_reported(void)
{
    return reported;
}
