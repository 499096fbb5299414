#include "base/memory.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "temp.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 4096 };

/* A file of this header and `data_bytes` bytes 0, 1, 2, ...; returns its path. */
static const char *write_raw(const char *header, size_t data_bytes)
{
    unsigned char bytes[FILE_MAX];
    const uint64_t length = strlen(header);
    assert_true(8 + length + data_bytes <= sizeof bytes);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < data_bytes; i++)
        bytes[8 + length + i] = (unsigned char)i;
    return ex_temp_write("raw.safetensors", bytes, 8 + length + data_bytes, 0);
}

static void test_what_is_written_is_read_back(void **state)
{
    (void)state;
    static const float values[6] = {1.5f, -2.0f, 3.25f, 0.0f, 1e-30f, 7.0f};
    static const int64_t counter = 1234567890123;
    const ex_tensor_entry entries[3] = {
        {.name = "n", .dtype = EX_DTYPE_I64, .data = &counter},
        {.name = "w", .dtype = EX_DTYPE_F32, .ndim = 2, .shape = {2, 3}, .data = values},
        {.name = "empty", .dtype = EX_DTYPE_F32, .ndim = 2, .shape = {0, 3}, .data = values},
    };
    json_t *metadata = json_pack("{s:s}", "key", "a \"value\"");
    const char *path = ex_temp_path("out.safetensors");
    assert_ok(ex_safetensors_write(path, entries, 3, metadata));
    json_decref(metadata);
    char *raw;
    size_t bytes;
    uint64_t length;
    assert_ok(ex_file_read(&raw, &bytes, path, FILE_MAX));
    memcpy(&length, raw, 8);
    assert_int_equal(length % 8, 0);
    assert_int_equal(raw[8], '{');
    assert_int_equal(bytes, 8 + length + 8 + sizeof values);
    ex_free(&raw);

    ex_safetensors *file;
    assert_ok(ex_safetensors_read(&file, path));
    assert_int_equal(file->entry_count, 3);
    assert_string_equal(ex_safetensors_metadata(file, "key"), "a \"value\"");
    assert_null(ex_safetensors_metadata(file, "other"));
    const ex_tensor_entry *w = ex_safetensors_find(file, "w");
    assert_true(w->ndim == 2 && w->shape[0] == 2 && w->shape[1] == 3 && w->count == 6);
    assert_memory_equal(w->data, values, sizeof values);
    const ex_tensor_entry *n = ex_safetensors_find(file, "n");
    assert_true(n->ndim == 0 && n->count == 1 && n->dtype == EX_DTYPE_I64);
    assert_memory_equal(n->data, &counter, sizeof counter);
    assert_int_equal(ex_safetensors_find(file, "empty")->count, 0);
    assert_null(ex_safetensors_find(file, "x"));
    ex_safetensors_close(&file);
    assert_null(file);
}

static void test_files_of_other_writers_are_read(void **state)
{
    (void)state;
    /* Any order in the header, spaces behind it, odd offsets, empty tensors between. */
    static const char *const headers[] = {
        "{\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]},"
        "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}   ",
        "{\"z\":{\"dtype\":\"F32\",\"shape\":[5,0],\"data_offsets\":[1,1]},"
        "\"a\":{\"dtype\":\"BOOL\",\"shape\":[],\"data_offsets\":[0,1]},"
        "\"b\":{\"dtype\":\"I16\",\"shape\":[2],\"data_offsets\":[1,5]}}",
    };
    for (int i = 0; i < 2; i++) {
        ex_safetensors *file;
        assert_ok(ex_safetensors_read(&file, write_raw(headers[i], 5)));
        const ex_tensor_entry *b = ex_safetensors_find(file, "b");
        assert_int_equal(*(const unsigned char *)b->data, 1);
        ex_safetensors_close(&file);
    }
    ex_safetensors *file;
    assert_ok(ex_safetensors_read(&file, write_raw("{}", 0)));
    assert_int_equal(file->entry_count, 0);
    ex_safetensors_close(&file);
}

static void test_every_fault_of_a_header_is_refused(void **state)
{
    (void)state;
#define ONE(type, shape, offsets)                                                                  \
    "{\"a\":{\"dtype\":" type ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
    static const struct {
        const char *header;
        size_t bytes;
        const char *message;
    } bad[] = {
        {"", 0, "no valid JSON"},
        {"[]", 0, "no JSON object"},
        {"{\"a\":", 0, "no valid JSON"},
        {"{\"a\":1}", 0, "no dtype"},
        {"{} {}", 0, "no valid JSON"},
        {ONE("\"F32\"", "[1]", "[0,4]"), 3, "at 0 to 4 of 3 bytes"},
        {ONE("\"F32\"", "[1]", "[0,4]"), 5, "1 of 5 bytes belong to no tensor"},
        {ONE("\"F32\"", "[1]", "[1,5]"), 5, "begins at byte 1, but byte 0"},
        {ONE("\"F32\"", "[1]", "[4,0]"), 4, "at 4 to 0"},
        {ONE("\"F32\"", "[1]", "[-4,0]"), 4, "at -4 to 0"},
        {ONE("\"F32\"", "[1]", "[0]"), 4, "no pair"},
        {ONE("\"F32\"", "[1]", "[0,4,8]"), 4, "no pair"},
        {ONE("\"F32\"", "[1]", "[0,4.0]"), 4, "no pair"},
        {ONE("\"F32\"", "[1]", "[0,18446744073709551620]"), 4, "no valid JSON"},
        {ONE("\"F32\"", "[2]", "[0,4]"), 4, "takes 8 bytes by its type and shape, but 4"},
        {ONE("\"F16\"", "[1]", "[0,4]"), 4, "takes 2 bytes"},
        {ONE("\"F33\"", "[1]", "[0,4]"), 4, "unknown type F33"},
        {ONE("1", "[1]", "[0,4]"), 4, "no dtype"},
        {ONE("\"F32\"", "1", "[0,4]"), 4, "no shape"},
        {ONE("\"F32\"", "[-1]", "[0,4]"), 4, "axis 0"},
        {ONE("\"F32\"", "[1,\"1\"]", "[0,4]"), 4, "axis 1"},
        {ONE("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "9 axes"},
        {ONE("\"F32\"", "[4294967296,4294967296]", "[0,4]"), 4, "axis 1"},
        {ONE("\"F32\"", "[4611686018427387905]", "[0,4]"), 4, "too large"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
         2, "duplicate"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         3, "b begins at byte 1, but byte 2"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
         3, "b begins at byte 2, but byte 1"},
        {"{\"__metadata__\":3}", 0, "__metadata__ is no object"},
        {"{\"__metadata__\":{\"k\":3}}", 0, "__metadata__ k is no text"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ex_safetensors *file;
        assert_status(ex_safetensors_read(&file, write_raw(bad[i].header, bad[i].bytes)),
                      EX_ERR_INPUT);
        assert_null(file);
        assert_message("raw.safetensors");
        assert_message(bad[i].message);
    }
#undef ONE
}

static void test_every_truncation_is_refused(void **state)
{
    (void)state;
    static const float values[4] = {1, 2, 3, 4};
    const ex_tensor_entry entry = {
        .name = "w", .dtype = EX_DTYPE_F32, .ndim = 1, .shape = {4}, .data = values};
    char *raw;
    size_t bytes;
    ex_safetensors *file;
    assert_ok(ex_safetensors_write(ex_temp_path("whole"), &entry, 1, NULL));
    assert_ok(ex_file_read(&raw, &bytes, ex_temp_path("whole"), FILE_MAX));
    for (size_t n = 0; n < bytes; n++)
        assert_status(ex_safetensors_read(&file, ex_temp_write("cut", raw, n, 0)), EX_ERR_INPUT);
    memset(raw, 0xff, 8); /* a header of 2^64 - 1 bytes */
    assert_status(ex_safetensors_read(&file, ex_temp_write("cut", raw, bytes, 0)), EX_ERR_INPUT);
    assert_message("18446744073709551615");
    ex_free(&raw);
    assert_status(ex_safetensors_read(&file, ex_temp_folder()), EX_ERR_INPUT);
    assert_status(ex_safetensors_read(&file, ex_temp_path("none")), EX_ERR_INPUT);
}

/* Any damaged byte is either refused or still a consistent file; the sanitizers watch. */
static void test_damaged_headers_never_break_the_reader(void **state)
{
    (void)state;
    static const char header[] =
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
        "\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[8,16]}}";
    char copy[sizeof header];
    int refused = 0;
    for (size_t at = 0; at + 1 < sizeof header; at++) {
        for (const char *c = "0129-\"[]{},: ab\\"; *c; c++) {
            ex_safetensors *file;
            memcpy(copy, header, sizeof header);
            copy[at] = *c;
            const ex_status status = ex_safetensors_read(&file, write_raw(copy, 16));
            assert_true(status == EX_OK || status == EX_ERR_INPUT);
            refused += status != EX_OK;
            ex_safetensors_close(&file);
        }
    }
    assert_true(refused > 500);
}

/* Values by the definition of each type. */
static void test_types_convert_to_float_by_their_definition(void **state)
{
    (void)state;
    static const uint16_t half[] = {0x3c00, 0xc000, 0x3555, 0x7bff, 0x0001, 0x03ff, 0x0400, 0x8000};
    static const float half_values[] = {1.0f,     -2.0f,      0.333251953125f, 65504.0f,
                                        0x1p-24f, 0x3ffp-24f, 0x1p-14f,        -0.0f};
    static const uint16_t brain[] = {0x3f80, 0xc000, 0x3eab, 0x0001, 0x7f7f};
    static const float brain_values[] = {1.0f, -2.0f, 0.333984375f, 0x1p-133f, 0x1.fep127f};
    static const double doubles[] = {0.1, -1e-50, 1e300, -1e300};
    static const int64_t integers[] = {-3, 16777217};
    static const uint16_t special[] = {0x7c00, 0xfc00, 0x7e00};
    float out[8];
    assert_true(ex_dtype_to_float(out, half, 8, EX_DTYPE_F16));
    assert_memory_equal(out, half_values, sizeof half_values);
    assert_true(ex_dtype_to_float(out, brain, 5, EX_DTYPE_BF16));
    assert_memory_equal(out, brain_values, sizeof brain_values);
    assert_true(ex_dtype_to_float(out, doubles, 4, EX_DTYPE_F64));
    assert_true(out[0] == 0.1f && out[1] == 0.0f && out[2] == INFINITY && out[3] == -INFINITY);
    assert_true(ex_dtype_to_float(out, integers, 2, EX_DTYPE_I64));
    assert_true(out[0] == -3.0f && out[1] == 16777216.0f);
    assert_true(ex_dtype_to_float(out, special, 3, EX_DTYPE_F16));
    assert_true(out[0] == INFINITY && out[1] == -INFINITY && isnan(out[2]));
    assert_false(ex_dtype_to_float(out, special, 1, EX_DTYPE_U8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read_back),
        cmocka_unit_test(test_files_of_other_writers_are_read),
        cmocka_unit_test(test_every_fault_of_a_header_is_refused),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_damaged_headers_never_break_the_reader),
        cmocka_unit_test(test_types_convert_to_float_by_their_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
