/* What a rank believes of what rank 0 tells: a communicator that says anything stands for it. */
#include "comm_impl.h"
#include "federation_fixture.h"
#include "share_impl.h"
#include "test.h"

#include <string.h>

/* Every broadcast brings the next of these. */
typedef struct telling {
    const void *bytes;
    size_t size;
} telling;

enum { TELLINGS = 4, CLIENTS = 4 };
static telling told[TELLINGS];
static int heard;

static ex_status begin_broadcast(ex_comm *comm, void *bytes, size_t size, int root)
{
    (void)comm;
    assert_int_equal(root, 0);
    assert_true(heard < TELLINGS && told[heard].size == size);
    memcpy(bytes, told[heard++].bytes, size);
    return EX_OK;
}

static ex_status test_at_once(ex_comm *comm, bool *done)
{
    (void)comm;
    *done = true;
    return EX_OK;
}

static void abort_nothing(ex_comm *comm)
{
    (void)comm;
}

static const ex_communicator scripted = {.abi = EX_COMM_ABI,
                                         .name = "scripted",
                                         .size = sizeof(ex_comm),
                                         .abort = abort_nothing,
                                         .begin_broadcast = begin_broadcast,
                                         .test = test_at_once};

static ex_federation *f;

/* A federation as rank 1 of two has it. */
static int open_rank(void **state)
{
    (void)state;
    const ex_config c = ex_test_config();
    const ex_comm_options o = {
        .ranks = {.rank = 1, .size = 2}, .name = "scripted", .device = "cpu", .timeout = 1};
    f = ex_test_federation(&c);
    ex_comm_destroy(&f->comm);
    assert_ok(ex_comm_create_as(&f->comm, &scripted, &o));
    assert_ok(ex_share_create(&f->share, f, f->comm));
    return 0;
}

static int close_rank(void **state)
{
    (void)state;
    ex_federation_close(&f);
    return 0;
}

static const int64_t counts[CLIENTS] = {2, 0, 1, 0};
static const uint32_t indices[3] = {7, 199, 0};
static const uint16_t labels[3] = {3, 0, 9};

static ex_status receive(const int64_t *count, const uint32_t *index, const uint16_t *label)
{
    told[0] = (telling){count, CLIENTS * sizeof *count};
    told[1] = (telling){index, 3 * sizeof *index};
    told[2] = (telling){label, 3 * sizeof *label};
    heard = 0;
    return ex_share_send_clients(f, NULL);
}

static void test_clients_are_taken_as_they_are_told(void **state)
{
    (void)state;
    assert_ok(receive(counts, indices, labels));
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(f->share->samples[i].count, counts[i]);
    assert_memory_equal(f->share->samples[0].index, indices, 2 * sizeof *indices);
    assert_memory_equal(f->share->samples[0].label, labels, 2 * sizeof *labels);
    assert_int_equal(f->share->samples[2].index[0], 0);
    assert_int_equal(f->share->samples[2].label[0], 9);
}

static void test_counts_that_no_client_has_are_refused_before_they_are_used(void **state)
{
    (void)state;
    static const int64_t wrong[] = {-1, INT64_MIN, 201, INT64_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const int64_t count[CLIENTS] = {1, 1, wrong[i], 1};
        assert_status(receive(count, indices, labels), EX_ERR_INTERNAL);
        assert_message("samples of client 2; 0 to 200 are expected");
        assert_int_equal(heard, 1);
    }
}

static void test_the_sum_of_counts_stays_a_size(void **state)
{
    (void)state;
    const int64_t count[3] = {INT64_MAX, INT64_MAX, 2};
    size_t total;
    assert_ok(ex_share_check_counts(&total, count, 2, SIZE_MAX));
    assert_true(total == SIZE_MAX - 1);
    assert_status(ex_share_check_counts(&total, count, 3, SIZE_MAX), EX_ERR_INTERNAL);
}

static void test_samples_that_the_data_set_lacks_are_refused(void **state)
{
    (void)state;
    const uint32_t beyond[3] = {7, 200, 0};
    const uint16_t unknown[3] = {3, 0, 10};
    assert_status(receive(counts, beyond, labels), EX_ERR_INTERNAL);
    assert_message("sample 200 of class 0; there are 200 of 10 classes");
    assert_status(receive(counts, indices, unknown), EX_ERR_INTERNAL);
    assert_message("sample 0 of class 10");
}

static void test_more_algorithms_than_there_can_be_are_refused(void **state)
{
    (void)state;
    heard = 0;
    assert_status(ex_share_receive_algorithms(f, UINT32_MAX), EX_ERR_INTERNAL);
    assert_message("4294967295 bytes of algorithms");
    assert_int_equal(heard, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clients_are_taken_as_they_are_told),
        cmocka_unit_test(test_counts_that_no_client_has_are_refused_before_they_are_used),
        cmocka_unit_test(test_the_sum_of_counts_stays_a_size),
        cmocka_unit_test(test_samples_that_the_data_set_lacks_are_refused),
        cmocka_unit_test(test_more_algorithms_than_there_can_be_are_refused),
    };
    return cmocka_run_group_tests(tests, open_rank, close_rank);
}
