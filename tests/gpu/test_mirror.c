/* The copies that kernels are tested on: what a kernel must not touch shows. */
#include "test_kernels.h"

#include "device_test.h"

enum { COUNT = 100 };
static const size_t BYTES = COUNT * sizeof(float);

static float a[COUNT], b[COUNT], sum[COUNT + 4];

static int open_mirror(void **state)
{
    (void)state;
    ex_emulated_reset(0);
    unsetenv("EX_TEST_EXACT");
    for (int i = 0; i < COUNT; i++)
        a[i] = (float)i, b[i] = 1.0f;
    return mirror_open() ? 0 : 1;
}

static int open_exact(void **state)
{
    const int failed = open_mirror(state);
    setenv("EX_TEST_EXACT", "1", 1);
    return failed || !mirror_open();
}

static int open_none(void **state)
{
    (void)state;
    ex_emulated_reset(0);
    ex_emulated_set_devices(0);
    return 0;
}

static void test_results_come_back_and_copies_are_freed(void **state)
{
    (void)state;
    const ex_stream s = {.threads = 1};
    k->add_relu_fwd(sum, a, b, COUNT, EX_MAP_F32, s);
    for (int i = 0; i < COUNT; i++)
        assert_true(sum[i] == (float)i + 1.0f);
    assert_int_equal(ex_emulated_alive().device_allocations, 0);
    k->add_relu_fwd(a, a, b, COUNT, EX_MAP_F32, s); /* in place: one copy of a */
    assert_true(a[COUNT - 1] == (float)COUNT);
}

static void test_a_write_beside_an_operand_shows(void **state)
{
    (void)state;
    mirror m = mirror_begin((ex_stream){.threads = 1});
    ex_kernels_cuda.add_relu_fwd(mirror_out(&m, sum, BYTES), mirror_in(&m, a, BYTES),
                                 mirror_in(&m, b, BYTES), COUNT + 1, EX_MAP_F32, m.stream);
    const char *wrong = mirror_finish(&m, "add");
    assert_non_null(wrong);
    assert_string_equal(wrong, "add wrote beside an operand, of 400 bytes");
}

static void test_a_write_to_an_input_shows(void **state)
{
    (void)state;
    mirror m = mirror_begin((ex_stream){.threads = 1});
    ex_kernels_cuda.add_relu_fwd(mirror_in(&m, a, BYTES), mirror_in(&m, a, BYTES),
                                 mirror_in(&m, b, BYTES), COUNT, EX_MAP_F32, m.stream);
    const char *wrong = mirror_finish(&m, "add");
    assert_non_null(wrong);
    assert_string_equal(wrong, "add wrote to an operand that it only reads, of 400 bytes");
}

static void read_past_the_end(void)
{
    mirror m = mirror_begin((ex_stream){.threads = 1});
    ex_kernels_cuda.add_relu_fwd(mirror_out(&m, sum, BYTES + 16), mirror_in(&m, a, BYTES),
                                 mirror_in(&m, b, BYTES), COUNT + 4, EX_MAP_F32, m.stream);
    (void)mirror_finish(&m, "add");
}

static void read_host_memory(void)
{
    mirror m = mirror_begin((ex_stream){.threads = 1});
    ex_kernels_cuda.add_relu_fwd(mirror_out(&m, sum, BYTES), a, mirror_in(&m, b, BYTES), COUNT,
                                 EX_MAP_F32, m.stream);
    (void)mirror_finish(&m, "add");
}

static void test_without_guards_a_read_past_the_end_faults(void **state)
{
    (void)state;
    device_test_dies(read_past_the_end, "0 bytes past the end of allocation");
}

static void test_an_operand_that_was_not_copied_faults(void **state)
{
    (void)state;
    device_test_dies(read_host_memory, "which is memory of the host");
}

static void test_without_a_gpu_tests_are_skipped(void **state)
{
    (void)state;
    assert_false(mirror_open());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_results_come_back_and_copies_are_freed, open_mirror),
        cmocka_unit_test_setup(test_a_write_beside_an_operand_shows, open_mirror),
        cmocka_unit_test_setup(test_a_write_to_an_input_shows, open_mirror),
        cmocka_unit_test_setup(test_without_guards_a_read_past_the_end_faults, open_exact),
        cmocka_unit_test_setup(test_an_operand_that_was_not_copied_faults, open_exact),
        cmocka_unit_test_setup(test_without_a_gpu_tests_are_skipped, open_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
