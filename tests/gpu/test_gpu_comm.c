/* Ranks over NCCL itself, one for each GPU of this machine, as threads: one rank alone has NCCL sum
 * and broadcast all the same. */
#include "comm_impl.h"
#include "temp.h"
#include "test.h"

#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { RANKS_MOST = 8, LARGE = 300001, TIMEOUT = 60 };

extern const ex_communicator ex_communicator_module;

typedef struct rank {
    pthread_t thread;
    ex_comm_options options;
    int64_t values[LARGE];
    char text[16], message[1024];
    int gpu;
    ex_status status, again; /* again: alone, of an operation behind an abort */
} rank;

static rank ranks[RANKS_MOST];

static ex_status talk(rank *r, ex_comm *comm)
{
    const int number = ex_comm_rank(comm), size = ex_comm_size(comm);
    r->gpu = ex_comm_gpu(comm);
    for (int i = 0; i < LARGE; i++)
        r->values[i] = ((int64_t)i << 38) * (number + 1) - number;
    snprintf(r->text, sizeof r->text, "from %d", number);
    EX_TRY(ex_comm_sum(comm, r->values, LARGE));
    EX_TRY(ex_comm_broadcast(comm, r->text, sizeof r->text, size - 1));
    return ex_comm_barrier(comm);
}

static void *rank_main(void *argument)
{
    rank *r = argument;
    ex_comm *comm;
    r->status = ex_comm_create_as(&comm, &ex_communicator_module, &r->options);
    if (r->status == EX_OK)
        r->status = talk(r, comm);
    snprintf(r->message, sizeof r->message, "%s", ex_error_message());
    if (r->status == EX_OK && r->options.ranks.size == 1) {
        ex_comm_abort(comm);
        r->again = ex_comm_barrier(comm);
    }
    ex_comm_destroy(&comm);
    return NULL;
}

static void run_ranks(int size)
{
    char meeting[4096];
    snprintf(meeting, sizeof meeting, "%s/meet", ex_temp_folder());
    for (int i = 0; i < size; i++) {
        ranks[i].options = (ex_comm_options){
            .ranks = {.rank = i, .size = size, .local_rank = i, .launcher = "mpirun"},
            .name = "nccl",
            .device = "cuda",
            .file = meeting,
            .timeout = TIMEOUT};
        assert_int_equal(pthread_create(&ranks[i].thread, NULL, rank_main, &ranks[i]), 0);
    }
    for (int i = 0; i < size; i++)
        pthread_join(ranks[i].thread, NULL);
}

static void test_a_rank_for_each_gpu_sums_broadcasts_and_is_given_up(void **state)
{
    (void)state;
    int gpus = 0;
    assert_int_equal(cudaGetDeviceCount(&gpus), cudaSuccess);
    for (int size = 1; size <= gpus && size <= RANKS_MOST; size *= 2) {
        run_ranks(size);
        const int64_t all = size * (size + 1) / 2, less = size * (size - 1) / 2;
        char text[16];
        snprintf(text, sizeof text, "from %d", size - 1);
        for (int i = 0; i < size; i++) {
            const rank *r = &ranks[i];
            if (r->status != EX_OK)
                fail_msg("rank %d of %d: %s", i, size, r->message);
            assert_int_equal(r->gpu, i);
            for (int k = 0; k < LARGE; k++)
                assert_true(r->values[k] == ((int64_t)k << 38) * all - less);
            assert_string_equal(r->text, text);
            assert_true(size > 1 || r->again != EX_OK);
        }
    }
    assert_true(gpus > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rank_for_each_gpu_sums_broadcasts_and_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
