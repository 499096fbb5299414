/* What a rank believes of what rank 0 tells: a communicator that says anything stands for it. */
#include "comm_impl.h"
#include "federation_fixture.h"
#include "round_impl.h"
#include "share_impl.h"
#include "test.h"

#include <math.h>
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

/* What the other ranks add. */
static ex_status begin_sum(ex_comm *comm, int64_t *values, size_t n)
{
    (void)comm;
    assert_true(heard < TELLINGS && told[heard].size == n * sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] += ((const int64_t *)told[heard].bytes)[i];
    heard++;
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
                                         .begin_sum = begin_sum,
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

static ex_order an_order(void)
{
    return (ex_order){
        .kind = EX_ORDER_ROUND, .number = 1, .norm = EX_NORM_FROZEN, .local_epochs = 1, .lr = 0.1};
}

static void test_orders_of_rounds_that_cannot_be_are_refused(void **state)
{
    (void)state;
    ex_order wrong[13];
    size_t n = 0;
    for (; n < sizeof wrong / sizeof *wrong; n++)
        wrong[n] = an_order();
    wrong[0].norm = -1;
    wrong[1].norm = EX_NORM_FROZEN + 1;
    wrong[2].norm = INT32_MIN;
    wrong[3].number = -1;
    wrong[4].number = 1 << 24;
    wrong[5].local_epochs = 0;
    wrong[6].local_epochs = 1 << 12;
    wrong[7].local_epochs = -1;
    wrong[8].lr = (double)NAN;
    wrong[9].lr = (double)INFINITY;
    wrong[10].lr = -0.1;
    wrong[11].has_mask = 1; /* which this rank does not hold, and is not told */
    wrong[12].with_mask = 1;
    for (size_t i = 0; i < n; i++) {
        heard = 0;
        assert_status(ex_share_serve_round(f, &wrong[i]), EX_ERR_INTERNAL);
        assert_message("that cannot be");
        assert_int_equal(heard, 0);
        assert_true(ex_comm_broken(f->comm));
        f->comm->broken = false;
    }
}

static void test_masks_that_no_rank_has_are_refused(void **state)
{
    (void)state;
    uint8_t selected[4096] = {0};
    const size_t channels = (size_t)f->model->channel_count;
    assert_in_range(channels, 1, sizeof selected);
    told[0] = (telling){selected, channels};
    heard = 0;
    selected[channels - 1] = 1;
    assert_ok(ex_share_send_mask(f));
    assert_int_equal(f->share->mask->channel_count, 1);
    heard = 0;
    selected[2] = 255;
    assert_status(ex_share_send_mask(f), EX_ERR_INTERNAL);
    assert_message("255 for channel 2");
    assert_int_equal(f->share->mask->channel_count, 1);
    ex_mask_destroy(&f->share->mask);
}

static void test_a_status_that_there_is_not_is_taken_for_an_internal_error(void **state)
{
    (void)state;
    static const char text[2048] = "what the other says";
    static const int64_t wrong[] = {EX_STATUS_COUNT, -1, INT64_MAX, INT64_MIN};
    told[0] = (telling){text, sizeof text};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        heard = 0;
        assert_status(ex_comm_settle(f->comm, (const int64_t[]){wrong[i], EX_OK}), EX_ERR_INTERNAL);
        assert_message(text);
    }
    heard = 0;
    assert_status(ex_comm_settle(f->comm, (const int64_t[]){EX_ERR_IO, EX_OK}), EX_ERR_IO);
}

/* Two statuses, what was outside, then loss, correct, count, seconds and processed of the client,
 * which rank 0 trained. */
enum { PLACES = 8 };

static ex_status join(const int64_t theirs[PLACES], ex_round_outcome *outcome)
{
    int64_t places[PLACES] = {0};
    const ex_round round = {.number = 4};
    ex_round_room room = {.sum = {.sum = places}};
    ex_round_work w = {
        .f = f, .round = &round, .cohort_count = 1, .outcomes = outcome, .room = &room};
    assert_int_equal(ex_round_extra_places(&w), PLACES);
    told[0] = (telling){theirs, PLACES * sizeof *theirs};
    heard = 0;
    return ex_round_join(&w, EX_OK);
}

static void test_counts_that_no_round_has_are_refused(void **state)
{
    (void)state;
    static const int64_t fine[PLACES] = {0, 0, 0, 0, 2, 3, 0, 6};
    static const struct {
        int place;
        int64_t value;
    } wrong[] = {{2, -1}, {4, 4}, {4, -1}, {5, -3}, {7, INT64_MIN}};
    ex_round_outcome outcome = {0};
    assert_ok(join(fine, &outcome));
    assert_true(outcome.sums.correct == 2 && outcome.sums.count == 3 && outcome.processed == 6);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int64_t theirs[PLACES];
        memcpy(theirs, fine, sizeof theirs);
        theirs[wrong[i].place] = wrong[i].value;
        assert_status(join(theirs, &outcome), EX_ERR_INTERNAL);
        assert_message("round 3: a rank tells of counts that cannot be");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clients_are_taken_as_they_are_told),
        cmocka_unit_test(test_counts_that_no_client_has_are_refused_before_they_are_used),
        cmocka_unit_test(test_the_sum_of_counts_stays_a_size),
        cmocka_unit_test(test_samples_that_the_data_set_lacks_are_refused),
        cmocka_unit_test(test_more_algorithms_than_there_can_be_are_refused),
        cmocka_unit_test(test_orders_of_rounds_that_cannot_be_are_refused),
        cmocka_unit_test(test_masks_that_no_rank_has_are_refused),
        cmocka_unit_test(test_a_status_that_there_is_not_is_taken_for_an_internal_error),
        cmocka_unit_test(test_counts_that_no_round_has_are_refused),
    };
    return cmocka_run_group_tests(tests, open_rank, close_rank);
}
