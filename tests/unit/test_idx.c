#include "data/dataset.h"
#include "temp.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 5, H = 3, W = 4, IMAGE_BYTES = 16 + COUNT * H * W, LABEL_BYTES = 8 + COUNT };

/* Pixel p of image i is i * 31 + p, label i is i * 2. */
static void make_files(uint8_t *images, uint8_t *labels)
{
    static const uint8_t image_header[16] = {0, 0, 8, 3, 0, 0, 0, COUNT, 0, 0, 0, H, 0, 0, 0, W};
    static const uint8_t label_header[8] = {0, 0, 8, 1, 0, 0, 0, COUNT};
    memcpy(images, image_header, sizeof image_header);
    memcpy(labels, label_header, sizeof label_header);
    for (int i = 0; i < COUNT * H * W; i++)
        images[16 + i] = (uint8_t)(i / (H * W) * 31 + i % (H * W));
    for (int i = 0; i < COUNT; i++)
        labels[8 + i] = (uint8_t)(i * 2);
}

static void test_plain_and_gzipped_files_read_alike(void **state)
{
    (void)state;
    uint8_t images[IMAGE_BYTES], labels[LABEL_BYTES];
    make_files(images, labels);
    for (int gzip = 0; gzip <= 1; gzip++) {
        ex_dataset d = {.classes = 10};
        const char *image_path = ex_temp_write("images", images, sizeof images, gzip);
        assert_ok(
            ex_idx_read(&d, image_path, ex_temp_write("labels", labels, sizeof labels, gzip)));
        assert_int_equal(d.count, COUNT);
        assert_true(d.channels == 1 && d.height == H && d.width == W);
        for (int i = 0; i < COUNT; i++) {
            assert_int_equal(d.labels[i], 2 * i);
            for (int p = 0; p < H * W; p++)
                assert_int_equal(d.images[i * H * W + p], i * 31 + p);
        }
        ex_dataset_close(&d);
        assert_null(d.images);
    }
}

/* Reads the pair and expects EX_ERR_INPUT with both texts; nothing may be left in the data set. */
static void expect_error(const uint8_t *images, size_t image_bytes, const uint8_t *labels,
                         size_t label_bytes, const char *text, const char *file)
{
    for (int gzip = 0; gzip <= 1; gzip++) {
        ex_dataset d = {.classes = 10};
        const char *image_path = ex_temp_write("bad-images", images, image_bytes, gzip);
        const char *label_path = ex_temp_write("bad-labels", labels, label_bytes, gzip);
        assert_status(ex_idx_read(&d, image_path, label_path), EX_ERR_INPUT);
        assert_message(text);
        assert_message(file);
        assert_null(d.images);
        assert_null(d.labels);
        assert_int_equal(d.count, 0);
    }
}

static void test_every_truncation_is_refused(void **state)
{
    (void)state;
    uint8_t images[IMAGE_BYTES], labels[LABEL_BYTES];
    make_files(images, labels);
    for (size_t n = 0; n < IMAGE_BYTES; n++)
        expect_error(images, n, labels, LABEL_BYTES, "truncated", "bad-images");
    for (size_t n = 0; n < LABEL_BYTES; n++)
        expect_error(images, IMAGE_BYTES, labels, n, "truncated", "bad-labels");
}

static void test_bytes_after_the_end_are_refused(void **state)
{
    (void)state;
    uint8_t images[IMAGE_BYTES + 1] = {0}, labels[LABEL_BYTES + 1] = {0};
    make_files(images, labels);
    expect_error(images, IMAGE_BYTES + 1, labels, LABEL_BYTES, "goes on after", "bad-images");
    expect_error(images, IMAGE_BYTES, labels, LABEL_BYTES + 1, "goes on after", "bad-labels");
}

static void test_wrong_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        int file, at; /* file 0: images, 1: labels */
        uint8_t value;
        const char *text;
    } bad[] = {
        {0, 0, 1, "no IDX file"},      {0, 1, 1, "no IDX file"},
        {0, 2, 9, "no IDX file"},      {0, 3, 1, "00 00 08 03"},
        {1, 3, 3, "00 00 08 01"},      {0, 7, 0, "no entries"},
        {1, 7, 0, "no entries"},       {1, 7, COUNT - 1, "holds 5 images"},
        {1, 7, COUNT + 1, "6 labels"}, {0, 11, 0, "images of 0 x 4"},
        {0, 12, 1, "1 to 4096"},       {0, 4, 0xff, "its header tells 4278190085"},
        {0, 14, 0x0f, "truncated"},
    };
    uint8_t images[IMAGE_BYTES], labels[LABEL_BYTES];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        make_files(images, labels);
        (bad[i].file ? labels : images)[bad[i].at] = bad[i].value;
        expect_error(images, IMAGE_BYTES, labels, LABEL_BYTES, bad[i].text,
                     bad[i].file ? "bad-labels" : "bad-images");
    }
}

static void test_labels_out_of_range_are_refused(void **state)
{
    (void)state;
    uint8_t images[IMAGE_BYTES], labels[LABEL_BYTES];
    make_files(images, labels);
    labels[8 + 3] = 10;
    expect_error(images, IMAGE_BYTES, labels, LABEL_BYTES, "label 3 is 10; 0 to 9", "bad-labels");
}

static void test_damaged_and_cut_gzip_streams_are_refused(void **state)
{
    (void)state;
    uint8_t images[IMAGE_BYTES], labels[LABEL_BYTES], packed[512];
    make_files(images, labels);
    const char *label_path = ex_temp_write("labels", labels, sizeof labels, 0);
    const char *path = ex_temp_write("images.gz", images, sizeof images, 1);
    FILE *file = fopen(path, "rb");
    const size_t size = fread(packed, 1, sizeof packed, file);
    fclose(file);
    assert_true(size > 30 && size < sizeof packed);
    for (size_t n = 10; n < size; n++) { /* cut after n bytes */
        ex_dataset d = {.classes = 10};
        assert_status(ex_idx_read(&d, ex_temp_write("cut.gz", packed, n, 0), label_path),
                      EX_ERR_INPUT);
        assert_message("cut.gz");
    }
    packed[size - 6] ^= 1; /* in the checksum */
    ex_dataset d = {.classes = 10};
    assert_status(ex_idx_read(&d, ex_temp_write("sum.gz", packed, size, 0), label_path),
                  EX_ERR_INPUT);
    assert_message("sum.gz is damaged");
}

/* All values are there, only the checksum and length behind them are cut: zlib reports that once
 * and then as the end of the file. */
static void test_a_gzip_stream_without_its_end_is_refused(void **state)
{
    (void)state;
    enum { IMAGES = 60, SIDE = 28, BYTES = 16 + IMAGES * SIDE * SIDE };
    static uint8_t images[BYTES] = {0, 0, 8, 3, 0, 0, 0, IMAGES, 0, 0, 0, SIDE, 0, 0, 0, SIDE};
    static uint8_t packed[2 * BYTES];
    const uint8_t labels[8 + IMAGES] = {0, 0, 8, 1, 0, 0, 0, IMAGES};
    uint32_t noise = 1; /* so that nothing is compressed */
    for (int i = 16; i < BYTES; i++)
        images[i] = (uint8_t)((noise = noise * 1664525u + 1013904223u) >> 24);
    const char *label_path = ex_temp_write("labels", labels, sizeof labels, 0);
    FILE *file = fopen(ex_temp_write("images.gz", images, sizeof images, 1), "rb");
    const size_t size = fread(packed, 1, sizeof packed, file);
    fclose(file);
    for (size_t missing = 0; missing <= 8; missing++) {
        ex_dataset d = {.classes = 10};
        const ex_status status =
            ex_idx_read(&d, ex_temp_write("cut.gz", packed, size - missing, 0), label_path);
        assert_status(status, missing ? EX_ERR_INPUT : EX_OK);
        if (missing)
            assert_message("cut.gz is truncated");
        ex_dataset_close(&d);
    }
}

static void test_missing_files_and_folders_are_refused(void **state)
{
    (void)state;
    ex_dataset d = {.classes = 10};
    assert_status(ex_idx_read(&d, ex_temp_path("none"), ex_temp_path("none")), EX_ERR_INPUT);
    assert_message("No such file");
    assert_status(ex_idx_read(&d, ex_temp_folder(), ex_temp_path("none")), EX_ERR_INPUT);
    assert_message("no regular file");
}

/* A regular file whose first page cannot be read, on any machine. */
static void test_a_file_that_cannot_be_read_is_not_called_damaged(void **state)
{
    (void)state;
    ex_dataset d = {.classes = 10};
    assert_status(ex_idx_read(&d, "/proc/self/mem", "/proc/self/mem"), EX_ERR_INPUT);
    assert_message("/proc/self/mem cannot be read: Input/output error");
    assert_null(d.images);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_and_gzipped_files_read_alike),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_bytes_after_the_end_are_refused),
        cmocka_unit_test(test_wrong_headers_are_refused),
        cmocka_unit_test(test_labels_out_of_range_are_refused),
        cmocka_unit_test(test_damaged_and_cut_gzip_streams_are_refused),
        cmocka_unit_test(test_a_gzip_stream_without_its_end_is_refused),
        cmocka_unit_test(test_missing_files_and_folders_are_refused),
        cmocka_unit_test(test_a_file_that_cannot_be_read_is_not_called_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
