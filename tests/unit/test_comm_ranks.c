/* Which rank this process is, as the environments of launchers say, and what it talks over then. */
#include "comm.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const names[] = {"OMPI_COMM_WORLD_RANK",
                                    "OMPI_COMM_WORLD_SIZE",
                                    "OMPI_COMM_WORLD_LOCAL_RANK",
                                    "PMI_RANK",
                                    "PMI_SIZE",
                                    "MPI_LOCALRANKID",
                                    "SLURM_PROCID",
                                    "SLURM_STEP_NUM_TASKS",
                                    "SLURM_LOCALID",
                                    "SLURM_NTASKS",
                                    "RANK",
                                    "WORLD_SIZE",
                                    "LOCAL_RANK"};

static int forget(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    return 0;
}

static void set3(const char *const name[3], const char *rank, const char *size, const char *local)
{
    assert_int_equal(setenv(name[0], rank, 1), 0);
    assert_int_equal(setenv(name[1], size, 1), 0);
    if (local)
        assert_int_equal(setenv(name[2], local, 1), 0);
}

static void test_a_process_by_itself_is_the_only_rank(void **state)
{
    (void)state;
    ex_ranks r;
    assert_ok(ex_ranks_find(&r));
    assert_true(r.rank == 0 && r.size == 1 && r.local_rank == 0);
    assert_string_equal(r.launcher, "");
    /* In the shell of a batch job, Slurm tells of tasks that srun has yet to start. */
    setenv("SLURM_PROCID", "0", 1);
    setenv("SLURM_NTASKS", "8", 1);
    assert_ok(ex_ranks_find(&r));
    assert_int_equal(r.size, 1);
}

static void test_launchers_are_understood(void **state)
{
    static const struct {
        const char *name[3], *launcher;
    } launchers[] = {
        {{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"}, "mpirun"},
        {{"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"}, "mpirun"},
        {{"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"}, "srun"},
        {{"RANK", "WORLD_SIZE", "LOCAL_RANK"}, "torchrun"},
    };
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        ex_ranks r;
        forget(state);
        set3(launchers[i].name, "5", "8", NULL);
        assert_ok(ex_ranks_find(&r));
        assert_true(r.rank == 5 && r.size == 8 && r.local_rank == 5);
        set3(launchers[i].name, "5", "8", "1");
        assert_ok(ex_ranks_find(&r));
        assert_true(r.rank == 5 && r.size == 8 && r.local_rank == 1);
        assert_string_equal(r.launcher, launchers[i].launcher);
    }
}

static void test_an_environment_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const char *const name[] = {"RANK", "WORLD_SIZE", "LOCAL_RANK"};
    static const char *const bad[][3] = {{"2", "2", "0"},     {"-1", "2", "0"}, {"0", "0", "0"},
                                         {"x", "2", "0"},     {"", "2", "0"},   {"0", "2x", "0"},
                                         {"0", "99999", "0"}, {"0", "2", "-3"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ex_ranks r;
        set3(name, bad[i][0], bad[i][1], bad[i][2]);
        assert_status(ex_ranks_find(&r), EX_ERR_CONFIG);
        assert_message("the environment's");
    }
}

/* One of several that takes itself for the only one would race the others in their folder. */
static void test_half_of_a_launchers_environment_is_refused(void **state)
{
    static const struct {
        const char *name, *value, *missing;
    } lone[] = {{"WORLD_SIZE", "4", "RANK"},
                {"RANK", "3", "WORLD_SIZE"},
                {"OMPI_COMM_WORLD_SIZE", "2", "OMPI_COMM_WORLD_RANK"},
                {"PMI_RANK", "1", "PMI_SIZE"},
                {"WORLD_SIZE", "x", "RANK"}};
    ex_ranks r;
    for (size_t i = 0; i < sizeof lone / sizeof *lone; i++) {
        char words[64];
        forget(state);
        setenv(lone[i].name, lone[i].value, 1);
        assert_status(ex_ranks_find(&r), EX_ERR_CONFIG);
        assert_message(lone[i].name);
        snprintf(words, sizeof words, "but %s is missing", lone[i].missing);
        assert_message(words);
    }
    /* What another launcher says whole counts. */
    setenv("RANK", "1", 1);
    setenv("WORLD_SIZE", "2", 1);
    setenv("PMI_SIZE", "7", 1);
    assert_ok(ex_ranks_find(&r));
    assert_true(r.rank == 1 && r.size == 2);
    /* No other process is told of. */
    static const char *const alone[][2] = {
        {"WORLD_SIZE", "1"}, {"WORLD_SIZE", ""}, {"RANK", "0"}, {"SLURM_PROCID", "3"}};
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) {
        forget(state);
        setenv(alone[i][0], alone[i][1], 1);
        assert_ok(ex_ranks_find(&r));
        assert_int_equal(r.size, 1);
    }
}

static void test_ranks_that_sruns_pmi_tells_are_sruns(void **state)
{
    (void)state;
    ex_ranks r;
    setenv("PMI_RANK", "2", 1);
    setenv("PMI_SIZE", "4", 1);
    setenv("SLURM_PROCID", "2", 1);
    setenv("SLURM_STEP_NUM_TASKS", "4", 1);
    assert_ok(ex_ranks_find(&r));
    assert_string_equal(r.launcher, "srun");
    /* mpirun in a job, which starts its helpers by a step of its own. */
    setenv("SLURM_STEP_NUM_TASKS", "1", 1);
    setenv("SLURM_PROCID", "0", 1);
    assert_ok(ex_ranks_find(&r));
    assert_string_equal(r.launcher, "mpirun");
}

static void test_comm_local_is_refused_where_several_processes_were_started(void **state)
{
    (void)state;
    ex_comm_options o = {.ranks = {.rank = 1, .size = 3, .launcher = "torchrun"},
                         .name = "local",
                         .device = "cpu",
                         .timeout = 1};
    ex_comm *comm;
    assert_status(ex_comm_create(&comm, &o), EX_ERR_CONFIG);
    assert_message("comm is local, but this is rank 1 of 3 that torchrun started");
    assert_null(comm);
    o.ranks = (ex_ranks){.size = 1};
    assert_ok(ex_comm_create(&comm, &o));
    ex_comm_destroy(&comm);
}

static void test_unknown_communicators_are_told_what_there_is(void **state)
{
    (void)state;
    ex_comm *comm;
    const ex_comm_options pigeon = {.ranks = {.size = 2}, .name = "pigeon", .device = "cpu"};
    assert_status(ex_comm_create(&comm, &pigeon), EX_ERR_CONFIG);
    assert_message("local");
}

static void test_local_communicator_is_one_rank_whose_sum_is_its_own(void **state)
{
    (void)state;
    const ex_comm_options options = {.ranks = {.size = 1}, .name = "auto", .device = "cpu"};
    ex_comm *comm;
    int64_t values[3] = {1, 2, 3};
    assert_ok(ex_comm_create(&comm, &options));
    assert_string_equal(ex_comm_name(comm), "local");
    assert_int_equal(ex_comm_size(comm), 1);
    assert_int_equal(ex_comm_rank(comm), 0);
    assert_ok(ex_comm_sum(comm, values, 3));
    assert_ok(ex_comm_broadcast(comm, values, sizeof values, 0));
    assert_ok(ex_comm_barrier(comm));
    assert_true(values[0] == 1 && values[1] == 2 && values[2] == 3);
    assert_status(ex_comm_broadcast(comm, values, sizeof values, 1), EX_ERR_USAGE);
    assert_status(ex_comm_agree(comm, EX_ERR_NUMERIC), EX_ERR_NUMERIC);
    ex_comm_destroy(&comm);
    assert_null(comm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_communicators_are_told_what_there_is),
        cmocka_unit_test(test_local_communicator_is_one_rank_whose_sum_is_its_own),
        cmocka_unit_test_setup(test_a_process_by_itself_is_the_only_rank, forget),
        cmocka_unit_test_setup(test_launchers_are_understood, forget),
        cmocka_unit_test_setup(test_an_environment_that_makes_no_sense_is_refused, forget),
        cmocka_unit_test_setup(test_half_of_a_launchers_environment_is_refused, forget),
        cmocka_unit_test_setup(test_ranks_that_sruns_pmi_tells_are_sruns, forget),
        cmocka_unit_test_setup(test_comm_local_is_refused_where_several_processes_were_started,
                               forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
