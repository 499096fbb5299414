/* Which of how many processes this one is, as its launcher says in the environment. */
#include "comm.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

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

/* NULL where it is not set, or empty. */
static const char *told(const char *name)
{
    const char *text = getenv(name);
    return text && *text ? text : NULL;
}

/* Half of a launcher's environment: a process would do alone what others do beside it. One process
 * of one, or rank 0 of nobody says how many, is taken for a process by itself; so is the shell of a
 * Slurm job, which has a SLURM_PROCID and no step. */
static ex_status check_alone(void)
{
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        const char *rank = told(launchers[i].rank), *size = told(launchers[i].size);
        if (size && !rank && strcmp(size, "1") != 0)
            return EX_FAIL(EX_ERR_CONFIG,
                           "the environment's %s is \"%s\", but %s is missing, which says which of "
                           "them this process is; set both, as %s does, or neither",
                           launchers[i].size, size, launchers[i].rank, launchers[i].launcher);
        if (rank && !size && strcmp(rank, "0") != 0 && strcmp(launchers[i].launcher, "srun") != 0)
            return EX_FAIL(EX_ERR_CONFIG,
                           "the environment's %s is \"%s\", but %s is missing, which says how many "
                           "processes there are; set both, as %s does, or neither",
                           launchers[i].rank, rank, launchers[i].size, launchers[i].launcher);
    }
    return EX_OK;
}

/* srun's PMI gives ranks as mpirun's does; its MPI may be of no use, which matters to `auto`. */
static bool is_srun(const ex_ranks *r)
{
    const char *rank = told("SLURM_PROCID"), *size = told("SLURM_STEP_NUM_TASKS");
    return rank && size && atoi(rank) == r->rank && atoi(size) == r->size;
}

ex_status ex_ranks_find(ex_ranks *out)
{
    *out = (ex_ranks){.rank = 0, .size = 1, .local_rank = 0, .launcher = ""};
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        if (!getenv(launchers[i].rank) || !getenv(launchers[i].size))
            continue;
        EX_TRY(read_number(&out->size, launchers[i].size, 1, EX_RANKS_MAX));
        EX_TRY(read_number(&out->rank, launchers[i].rank, 0, out->size - 1));
        out->launcher = is_srun(out) ? "srun" : launchers[i].launcher;
        out->local_rank = out->rank;
        return getenv(launchers[i].local_rank)
                   ? read_number(&out->local_rank, launchers[i].local_rank, 0, EX_RANKS_MAX)
                   : EX_OK;
    }
    return check_alone();
}
