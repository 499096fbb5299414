/* Memory that is short: what the messages tell, and that nothing else goes wrong by it; and that an
 * epoch takes none. */
#include "device/device.h"
#include "net_fixture.h"
#include "test.h"
#include "trainer.h"

#include "base/bytes.h"
#include "cuda/lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 4, IMAGES = 40 };

static const ex_sgd_coeff SGD = {.lr = 0.05f, .momentum = 0.9f, .weight_decay = 5e-4f};

/* From now on so many bytes are free. */
static void leave(size_t bytes)
{
    ex_emulated_set_memory(ex_emulated_alive().device_bytes + bytes);
}

/* "X of Y are free on cuda:0" with the figures of now, after what failed has given back its own. */
static void assert_free_told(size_t bytes)
{
    char text[128], part[EX_BYTES_ROOM];
    snprintf(text, sizeof text, "%s of ", ex_bytes_text(part, (double)bytes));
    assert_message(text);
    assert_message("are free on cuda:0; lower ");
    assert_int_equal(cudaPeekAtLastError(), cudaSuccess);
}

/* --- texts ------------------------------------------------------------------------------------ */

static void test_memory_for_a_lane_is_lowered_by_lanes(void **state)
{
    (void)state;
    ex_net_fixture f;
    ex_lane *lane;
    char needed[64], part[EX_BYTES_ROOM];
    ex_emulated_reset(1);
    ex_net_fixture_open(&f, 0, BATCH, 1, EX_CONV_DIRECT);
    leave(100);
    assert_status(ex_lane_create(&lane, f.device, f.model, 1), EX_ERR_MEMORY);
    snprintf(needed, sizeof needed, "parameters: %s of GPU memory are needed while making a lane, ",
             ex_bytes_text(part, (double)(f.model->param_count * sizeof(float))));
    assert_message(needed);
    assert_free_told(100);
    assert_message("lower lanes");
    assert_null(lane);
    ex_net_fixture_close(&f);
    assert_string_equal(ex_emulated_leaks(), "");
}

static void test_memory_for_a_plan_is_lowered_by_its_batch(void **state)
{
    (void)state;
    ex_net_fixture f;
    ex_plan *plan;
    ex_emulated_reset(1);
    ex_net_fixture_open(&f, 0, BATCH, 1, EX_CONV_DIRECT);
    leave(100000);
    assert_status(
        ex_plan_create(&plan, f.lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = BATCH}),
        EX_ERR_MEMORY);
    assert_message("scratch memory of a lane: ");
    assert_message(" of GPU memory are needed while making a plan, ");
    assert_message("lower batch_size, lanes or unlearn.variants");
    assert_int_equal(cudaPeekAtLastError(), cudaSuccess);
    ex_net_fixture_close(&f);
    assert_string_equal(ex_emulated_leaks(), "");
}

static void test_memory_for_data_is_lowered_by_samples(void **state)
{
    (void)state;
    ex_net_fixture f;
    ex_plan *plan;
    ex_train_sums sums = {0};
    char needed[96], part[EX_BYTES_ROOM];
    ex_emulated_reset(1);
    ex_net_fixture_open(&f, 0, BATCH, 1, EX_CONV_DIRECT);
    assert_ok(ex_plan_create(&plan, f.lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = BATCH}));
    leave(10);
    assert_status(ex_plan_train(plan, &f.data, &f.feed, &SGD, &sums), EX_ERR_MEMORY);
    const ex_dataset *d = &f.data;
    const size_t bytes = d->count * (size_t)(d->channels * d->height * d->width);
    snprintf(needed, sizeof needed, "the data set: %s of GPU memory are needed while training, ",
             ex_bytes_text(part, (double)bytes));
    assert_message(needed);
    assert_free_told(10);
    assert_message("lower train_samples or test_samples");
    leave(1 << 20); /* and again, with enough */
    assert_ok(ex_plan_train(plan, &f.data, &f.feed, &SGD, &sums));
    ex_plan_destroy(&plan);
    ex_net_fixture_close(&f);
    assert_string_equal(ex_emulated_leaks(), "");
}

static void test_pinned_memory_is_the_hosts(void **state)
{
    (void)state;
    for (long n = 1;; n++) {
        ex_net_fixture f;
        ex_lane *lane;
        ex_emulated_reset(1); /* a wait that fails breaks the device */
        ex_net_fixture_open(&f, 0, BATCH, 1, EX_CONV_DIRECT);
        ex_emulated_fail_call(n);
        const ex_status status = ex_lane_create(&lane, f.device, f.model, 1);
        const char *call = ex_emulated_failed_call();
        assert_non_null(call);
        const bool found = strcmp(call, "cudaMallocHost") == 0;
        if (found) {
            assert_int_equal(status, EX_ERR_MEMORY);
            assert_message("the stage of a lane: ");
            assert_message("of the host's memory are needed, locked for the GPU, while making a ");
            assert_message("are free; lower lanes or train_samples");
        }
        ex_emulated_fail_call(0);
        ex_lane_destroy(&lane);
        ex_net_fixture_close(&f);
        if (found)
            break;
    }
}

/* Streams, graphs and libraries take memory in secret. */
static void test_who_takes_memory_in_secret_tells_as_much(void **state)
{
    (void)state;
    ex_emulated_reset(1);
    ex_cuda_phase("training");
    leave(1000);
    assert_status(
        ex_cuda_check(cudaErrorMemoryAllocation, "cudaGraphInstantiate(out, graph, 0)", "a.c:7"),
        EX_ERR_MEMORY);
    assert_message("cudaGraphInstantiate found no memory while training: ");
    assert_free_told(1000);
    assert_message("lower steps_per_launch or lanes");
    assert_string_equal(ex_error_where(), "a.c:7");
    assert_status(ex_cuda_check(cudaErrorMemoryAllocation, "cudaStreamCreateWithFlags(&s, 1)", ""),
                  EX_ERR_MEMORY);
    assert_message("cuda:0; lower lanes");
    (void)ex_fail_at(EX_ERR_MEMORY, "b.c:8", "cudnnCreate(&h): no memory");
    assert_status(ex_cuda_library(EX_ERR_MEMORY, EX_CUDA_LESS_LANE), EX_ERR_MEMORY);
    assert_message("cudnnCreate(&h): no memory, while training: ");
    assert_free_told(1000);
    assert_string_equal(ex_error_where(), "b.c:8");
    (void)ex_fail_at(EX_ERR_BACKEND, "b.c:9", "cublasLtMatmul(x): it failed");
    assert_status(ex_cuda_library(EX_ERR_BACKEND, EX_CUDA_LESS_PLAN), EX_ERR_BACKEND);
    assert_message("cublasLtMatmul(x): it failed, while training");
    assert_string_equal(ex_error_where(), "b.c:9");
    assert_ok(ex_cuda_library(EX_OK, EX_CUDA_LESS_PLAN));
    /* cudnnCreate says that it is not initialized, and the runtime why */
    void *memory;
    assert_int_equal(cudaMalloc(&memory, 1001), cudaErrorMemoryAllocation);
    (void)ex_fail_at(EX_ERR_BACKEND, "b.c:10", "cudnnCreate(&h): not initialized");
    assert_status(ex_cuda_library(EX_ERR_BACKEND, EX_CUDA_LESS_LANE), EX_ERR_MEMORY);
    assert_free_told(1000);
}

/* The file and line are those of the kernel's launch. */
static void test_a_launch_that_fails_names_kernel_phase_and_line(void **state)
{
    (void)state;
    int kernels = 0;
    for (long n = 1;; n++) {
        ex_net_fixture f;
        ex_plan *plan;
        ex_eval_sums sums = {0};
        char text[128];
        ex_emulated_reset(1);
        ex_net_fixture_open(&f, 0, BATCH, 1, EX_CONV_DIRECT);
        assert_ok(
            ex_plan_create(&plan, f.lane, &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = BATCH}));
        ex_emulated_fail_call(n);
        const ex_status status = ex_plan_evaluate(plan, &f.data, &f.feed, &sums);
        const char *call = ex_emulated_failed_call();
        if (call && strncmp(call, "cuda", 4) != 0) {
            kernels++;
            snprintf(text, sizeof text, "the launch of %s failed while evaluating: ", call);
            assert_int_equal(status, EX_ERR_BACKEND);
            assert_message(text);
            if (!strstr(ex_error_where(), ".cu:"))
                fail_msg("the launch of %s is at %s", call, ex_error_where());
        }
        const bool over = !call;
        ex_emulated_fail_call(0);
        ex_plan_destroy(&plan);
        ex_net_fixture_close(&f);
        if (over)
            break;
    }
    assert_true(kernels > 5);
}

/* --- runs ------------------------------------------------------------------------------------- */

/* The scratch memory went for a larger plan that could not be made. It comes back before the
 * samples take their place in the stage, which is free again once the lane was waited for. */
static void test_an_evaluation_whose_scratch_is_gone_gives_the_same(void **state)
{
    (void)state;
    ex_net_fixture f;
    ex_plan *plan, *larger;
    ex_emulated_reset(1);
    ex_net_fixture_open(&f, 0, IMAGES, 1, EX_CONV_DIRECT);
    const size_t floats = IMAGES * (size_t)f.model->classes;
    ex_eval_sums expected = {.logits = calloc(floats, sizeof(float))};
    ex_eval_sums found = {.logits = calloc(floats, sizeof(float))};
    assert_ok(ex_plan_create(&plan, f.lane, &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = 8}));
    assert_ok(ex_plan_evaluate(plan, &f.data, &f.feed, &expected));
    leave(1 << 20);
    assert_status(
        ex_plan_create(&larger, f.lane, &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = 4096}),
        EX_ERR_MEMORY);
    assert_ok(ex_plan_evaluate(plan, &f.data, &f.feed, &found));
    assert_memory_equal(found.logits, expected.logits, floats * sizeof(float));
    assert_true(found.loss == expected.loss && found.correct == expected.correct);
    free(expected.logits);
    free(found.logits);
    ex_plan_destroy(&plan);
    ex_net_fixture_close(&f);
    assert_string_equal(ex_emulated_leaks(), "");
}

/* Full batches and a last short one. */
static void test_a_prepared_trainer_takes_no_memory(void **state)
{
    (void)state;
    ex_net_fixture f;
    ex_trainer *trainer;
    ex_train_sums sums = {0};
    ex_emulated_reset(1);
    ex_net_fixture_open(&f, 0, IMAGES, 1, EX_CONV_AUTO);
    assert_ok(ex_trainer_create(&trainer, f.lane));
    const ex_fit fit = {.data = &f.data,
                        .samples = &f.feed,
                        .epochs = 2,
                        .batch_size = 7,
                        .sgd = SGD,
                        .key = {.seed = 3}};
    assert_true(IMAGES % 7 != 0);
    assert_ok(ex_trainer_prepare(trainer, &fit));
    const long before = ex_emulated_count().allocations;
    assert_true(before > 0);
    for (int client = 0; client < 2; client++) {
        assert_ok(ex_lane_load(ex_trainer_lane(trainer), f.params, f.stats));
        assert_ok(ex_trainer_fit(trainer, &fit, &sums, NULL));
    }
    assert_int_equal(ex_emulated_count().allocations, before);
    f.lane = NULL; /* the trainer's */
    ex_trainer_destroy(&trainer);
    ex_net_fixture_close(&f);
    assert_string_equal(ex_emulated_leaks(), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_for_a_lane_is_lowered_by_lanes),
        cmocka_unit_test(test_memory_for_a_plan_is_lowered_by_its_batch),
        cmocka_unit_test(test_memory_for_data_is_lowered_by_samples),
        cmocka_unit_test(test_pinned_memory_is_the_hosts),
        cmocka_unit_test(test_who_takes_memory_in_secret_tells_as_much),
        cmocka_unit_test(test_a_launch_that_fails_names_kernel_phase_and_line),
        cmocka_unit_test(test_an_evaluation_whose_scratch_is_gone_gives_the_same),
        cmocka_unit_test(test_a_prepared_trainer_takes_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
