/* What MPI must give before ranks are joined over it. The functions that joining and leaving call
 * stand here in the place of the library's. */
#include "comm_impl.h"
#include "test.h"

#include <mpi.h>

extern const ex_communicator ex_communicator_module;

static struct {
    int level;       /* the thread level that MPI provides */
    int initialized; /* before the communicator came */
    int rank, size;
    int asked, finalized;
} mpi;

int MPI_Initialized(int *flag)
{
    *flag = mpi.initialized;
    return MPI_SUCCESS;
}

int MPI_Init_thread(int *argc, char ***argv, int required, int *provided)
{
    (void)argc, (void)argv;
    mpi.asked = required;
    *provided = mpi.level;
    return MPI_SUCCESS;
}

int MPI_Query_thread(int *provided)
{
    *provided = mpi.level;
    return MPI_SUCCESS;
}

int MPI_Finalize(void)
{
    mpi.finalized++;
    return MPI_SUCCESS;
}

int MPI_Comm_set_errhandler(MPI_Comm comm, MPI_Errhandler handler)
{
    (void)comm, (void)handler;
    return MPI_SUCCESS;
}

int MPI_Comm_rank(MPI_Comm comm, int *rank)
{
    (void)comm;
    *rank = mpi.rank;
    return MPI_SUCCESS;
}

int MPI_Comm_size(MPI_Comm comm, int *size)
{
    (void)comm;
    *size = mpi.size;
    return MPI_SUCCESS;
}

int MPI_Ibarrier(MPI_Comm comm, MPI_Request *request)
{
    (void)comm;
    *request = MPI_REQUEST_NULL;
    return MPI_SUCCESS;
}

int MPI_Test(MPI_Request *request, int *flag, MPI_Status *status)
{
    (void)request, (void)status;
    *flag = 1;
    return MPI_SUCCESS;
}

/* --- tests ---------------------------------------------------------------------------------- */

static ex_status join(ex_comm **comm)
{
    const ex_comm_options o = {.ranks = {.rank = 1, .size = 2, .launcher = "mpirun"},
                               .name = "mpi",
                               .device = "cpu",
                               .timeout = 1};
    return ex_comm_create_as(comm, &ex_communicator_module, &o);
}

static void test_threads_must_be_allowed_to_take_turns(void **state)
{
    (void)state;
    ex_comm *comm;
    for (int initialized = 0; initialized < 2; initialized++)
        for (int level = MPI_THREAD_SINGLE; level <= MPI_THREAD_MULTIPLE; level++) {
            mpi.initialized = initialized;
            mpi.level = level;
            mpi.rank = 1, mpi.size = 2;
            mpi.finalized = 0;
            if (level < MPI_THREAD_SERIALIZED) {
                assert_status(join(&comm), EX_ERR_UNSUPPORTED);
                assert_message("lets only one thread call it");
                assert_null(comm);
            } else {
                assert_ok(join(&comm));
                ex_comm_destroy(&comm);
            }
            assert_int_equal(mpi.finalized, 1);
            assert_true(initialized || mpi.asked == MPI_THREAD_SERIALIZED);
        }
}

static void test_another_mpis_launcher_is_told_so(void **state)
{
    (void)state;
    ex_comm *comm;
    mpi.initialized = 0;
    mpi.level = MPI_THREAD_MULTIPLE;
    mpi.rank = 0, mpi.size = 1;
    assert_status(join(&comm), EX_ERR_CONFIG);
    assert_message("MPI says rank 0 of 1");
    assert_null(comm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_must_be_allowed_to_take_turns),
        cmocka_unit_test(test_another_mpis_launcher_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
