/* Which of how many processes this one is, as its launcher says in the environment. */
#include "comm.h"

#include <errno.h>
#include <stdlib.h>

/* Slurm's batch step tells a number of tasks too, but not that of a step: only srun starts ranks.
 */
static const struct {
    const char *launcher, *rank, *size, *local_rank;
} launchers[] = {
    {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},
    {"mpirun", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"},
    {"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"},
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK"},
};

static ex_status read_number(int *out, const char *name, int low, int high)
{
    const char *text = getenv(name);
    char *end;
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < low || value > high)
        return EX_FAIL(EX_ERR_CONFIG, "the environment's %s is \"%s\"; a number from %d to %d",
                       name, text, low, high);
    *out = (int)value;
    return EX_OK;
}

ex_status ex_ranks_find(ex_ranks *out)
{
    *out = (ex_ranks){.rank = 0, .size = 1, .local_rank = 0, .launcher = ""};
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        if (!getenv(launchers[i].rank) || !getenv(launchers[i].size))
            continue;
        out->launcher = launchers[i].launcher;
        EX_TRY(read_number(&out->size, launchers[i].size, 1, EX_RANKS_MAX));
        EX_TRY(read_number(&out->rank, launchers[i].rank, 0, out->size - 1));
        out->local_rank = out->rank;
        return getenv(launchers[i].local_rank)
                   ? read_number(&out->local_rank, launchers[i].local_rank, 0, EX_RANKS_MAX)
                   : EX_OK;
    }
    return EX_OK;
}
