/* The reader of golden files, and the formulas that both sides share. */
#include "golden.h"
#include "golden_formula.h"
#include "temp.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME EXCISE_TEST_DATA "/golden/resnet20_fashion.gold"

static uint8_t *read_whole(size_t *size)
{
    FILE *file = fopen(FILE_NAME, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

static void check_refused(const uint8_t *bytes, size_t size, const char *message)
{
    ex_golden *g;
    assert_status(ex_golden_read(&g, ex_temp_write("bad.gold", bytes, size, 0)), EX_ERR_INPUT);
    assert_message(message);
    assert_null(g);
}

static void test_truncated_file_is_refused_wherever_it_ends(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = read_whole(&size);
    const size_t ends[] = {0, 7, 15, 16, 18, 40, 100, size / 3, size / 2, size - 1};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        check_refused(bytes, ends[i], "golden file ends inside");
    bytes[size] = 0;
    check_refused(bytes, size + 1, "after the last golden array");
    free(bytes);
}

static void test_corrupt_file_is_refused(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = read_whole(&size);
    const struct {
        size_t at;
        const char *message;
    } cases[] = {
        {0, "not a golden file"},      {8, "not a golden file"}, {15, "arrays; at most"},
        {16, "golden array of type"},  {17, "dimensions"},       {23, "golden array"},
        {size - 3, "does not unpack"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes[cases[i].at] ^= 0x55;
        check_refused(bytes, size, cases[i].message);
        bytes[cases[i].at] ^= 0x55;
    }
    free(bytes);
}

static void test_missing_file_is_refused(void **state)
{
    (void)state;
    ex_golden *g;
    assert_status(ex_golden_read(&g, ex_temp_path("no.gold")), EX_ERR_INPUT);
    assert_message("no.gold");
}

/* Computed by formula.py: words("linear.weight", 1, 3) and images(5, 1, 1, 28)[0, 0, 9, :4]. */
static void test_formulas_give_what_python_computes(void **state)
{
    (void)state;
    static const uint32_t words[] = {0x1f09c606, 0x93ff0b23, 0x08dec6f8};
    static const uint8_t pixels[] = {157, 198, 191, 189};
    const uint32_t key = ex_formula_key("linear.weight", 1);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(ex_formula_word(key, i), words[i]);
    uint8_t image[28 * 28];
    ex_formula_images(image, 5, 1, 1, 28);
    assert_memory_equal(image + 28 * 9, pixels, sizeof pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truncated_file_is_refused_wherever_it_ends),
        cmocka_unit_test(test_corrupt_file_is_refused),
        cmocka_unit_test(test_missing_file_is_refused),
        cmocka_unit_test(test_formulas_give_what_python_computes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
