#include "ranks.h"

#include "temp.h"
#include "test.h"

#include "base/clock.h"

#include <stdio.h>
#include <unistd.h>

extern const ex_communicator ex_communicator_module;

const char *meeting(void)
{
    static char path[4096]; /* made before there are threads */
    if (!path[0])
        snprintf(path, sizeof path, "%s/meet", ex_temp_folder());
    return path;
}

static void *rank_main(void *argument)
{
    rank *r = argument;
    const double start = ex_now();
    r->status = ex_comm_create_as(&r->comm, &ex_communicator_module, &r->options);
    if (r->status == EX_OK)
        r->work(r);
    snprintf(r->message, sizeof r->message, "%s", ex_error_message());
    ex_comm_destroy(&r->comm);
    r->seconds = ex_now() - start;
    return NULL;
}

void run_ranks(rank *ranks, int count, int size, const char *device, void (*work)(rank *r),
               double timeout)
{
    for (int i = 0; i < count; i++) {
        rank *r = &ranks[i];
        r->options = (ex_comm_options){
            .ranks = {.rank = i, .size = size, .local_rank = i, .launcher = "mpirun"},
            .name = "nccl",
            .device = r->device ? r->device : device,
            .file = meeting(),
            .timeout = timeout};
        r->work = work;
        assert_int_equal(pthread_create(&r->thread, NULL, rank_main, r), 0);
    }
    for (int i = 0; i < count; i++)
        pthread_join(ranks[i].thread, NULL);
}

void check_end(void)
{
    const char *violation = ex_nccl_violation();
    if (violation)
        fail_msg("%s", violation);
    assert_int_equal(ex_nccl_left(), 0);
    for (int i = 0; i < RANKS_MAX; i++) {
        char path[4200];
        snprintf(path, sizeof path, "%s.%d", meeting(), i);
        assert_int_not_equal(access(path, F_OK), 0);
    }
}

int reset_ranks(void **state)
{
    (void)state;
    ex_nccl_reset();
    return 0;
}
