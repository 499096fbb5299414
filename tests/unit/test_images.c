/* A folder of pictures as a data set. PNG files are written here, chunk by chunk; the JPEG file was
 * made by another library (PIL), whose decoded values are the oracle. */
#include "data/dataset.h"
#include "io/file.h"
#include "temp.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* 16 x 8 pixels: the left half (200, 40, 90), the right half (20, 160, 250). */
static const uint8_t jpeg[] = {
    255, 216, 255, 224, 0,   16,  74, 70, 73, 70, 0,  1,  1,  0,  0,  1,  0,  1,  0,   0,  255, 219,
    0,   67,  0,   2,   1,   1,   1,  1,  1,  2,  1,  1,  1,  2,  2,  2,  2,  2,  4,   3,  2,   2,
    2,   2,   5,   4,   4,   3,   4,  6,  5,  6,  6,  6,  5,  6,  6,  6,  7,  9,  8,   6,  7,   9,
    7,   6,   6,   8,   11,  8,   9,  10, 10, 10, 10, 10, 6,  8,  11, 12, 11, 10, 12,  9,  10,  10,
    10,  255, 219, 0,   67,  1,   2,  2,  2,  2,  2,  2,  5,  3,  3,  5,  10, 7,  6,   7,  10,  10,
    10,  10,  10,  10,  10,  10,  10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10,  10, 10,  10,
    10,  10,  10,  10,  10,  10,  10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10,  10, 10,  10,
    10,  10,  10,  10,  255, 192, 0,  17, 8,  0,  8,  0,  16, 3,  1,  17, 0,  2,  17,  1,  3,   17,
    1,   255, 196, 0,   20,  0,   1,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,   0,  0,   0,
    8,   255, 196, 0,   20,  16,  1,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,   0,  0,   0,
    0,   255, 196, 0,   22,  1,   1,  1,  1,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,   0,  0,   0,
    9,   4,   10,  255, 196, 0,   20, 17, 1,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,   0,  0,   0,
    0,   0,   0,   255, 218, 0,   12, 3,  1,  0,  2,  17, 3,  17, 0,  63, 0,  59, 167, 38, 4,   65,
    28,  102, 109, 255, 217,
};

static void put32(uint8_t *out, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(v >> (24 - 8 * i));
}

static size_t chunk(uint8_t *out, const char *type, const uint8_t *data, uint32_t length)
{
    put32(out, length);
    memcpy(out + 4, type, 4);
    if (length)
        memcpy(out + 8, data, length);
    put32(out + 8 + length, (uint32_t)crc32(0, out + 4, length + 4));
    return length + 12;
}

/* Writes width x height pixels of `channels` (1 grey, 3 RGB, 4 with alpha); returns the bytes. */
static size_t write_png(const char *name, int width, int height, int channels,
                        const uint8_t *pixels)
{
    static const uint8_t kinds[5] = {0, 0, 0, 2, 6};
    static uint8_t rows[1 << 14], packed[1 << 14], file[1 << 15];
    uint8_t head[13] = {[8] = 8, kinds[channels]};
    const size_t row = (size_t)(width * channels);
    uLongf bytes = sizeof packed;
    put32(head, (uint32_t)width);
    put32(head + 4, (uint32_t)height);
    for (int y = 0; y < height; y++) {
        rows[(size_t)y * (row + 1)] = 0;
        memcpy(rows + (size_t)y * (row + 1) + 1, pixels + (size_t)y * row, row);
    }
    assert_int_equal(compress(packed, &bytes, rows, (uLong)height * (row + 1)), Z_OK);
    size_t at = 8;
    memcpy(file, "\x89PNG\r\n\x1a\n", 8);
    at += chunk(file + at, "IHDR", head, 13);
    at += chunk(file + at, "IDAT", packed, (uint32_t)bytes);
    at += chunk(file + at, "IEND", NULL, 0);
    ex_temp_write(name, file, at, 0);
    return at;
}

/* A picture of one colour, 4 x 3. */
static void write_flat(const char *name, uint8_t r, uint8_t g, uint8_t b)
{
    uint8_t pixels[4 * 3 * 3];
    for (int i = 0; i < 12; i++)
        pixels[3 * i] = r, pixels[3 * i + 1] = g, pixels[3 * i + 2] = b;
    write_png(name, 4, 3, 3, pixels);
}

static void make_folder(const char *name)
{
    assert_ok(ex_make_folders(ex_temp_path(name)));
}

static ex_status open_folder(ex_data **data, const char *name, ex_data_options o)
{
    o.dir = ex_temp_path(name);
    return ex_data_open(data, "folder", &o);
}

/* Two classes in two parts; picture i of a class is grey 10 * i + class. */
static void make_parts(const char *folder)
{
    static const char *const parts[] = {"train", "test"}, *const classes[] = {"bird", "ant"};
    char name[128];
    for (int p = 0; p < 2; p++)
        for (int c = 0; c < 2; c++) {
            snprintf(name, sizeof name, "%s/%s/%s", folder, parts[p], classes[c]);
            make_folder(name);
            for (uint8_t i = 0; i < (p ? 1 : 3); i++) {
                snprintf(name, sizeof name, "%s/%s/%s/%d.%s", folder, parts[p], classes[c], i,
                         i == 1 ? "PNG" : "png");
                const uint8_t grey = (uint8_t)(10 * i + c);
                write_flat(name, grey, grey, grey);
            }
        }
}

static void test_classes_and_pictures_come_in_the_order_of_their_names(void **state)
{
    (void)state;
    ex_data *data;
    make_parts("parts");
    ex_temp_write("parts/train/ant/notes.txt", "x", 1, 0); /* no picture: left out */
    ex_temp_write("parts/train/.hidden", "x", 1, 0);
    assert_ok(open_folder(&data, "parts", (ex_data_options){0}));
    const ex_dataset *d = &data->train;
    assert_true(d->classes == 2 && d->channels == 3 && d->height == 3 && d->width == 4);
    assert_true(d->count == 6 && data->test.count == 2);
    static const uint8_t grey[6] = {1, 11, 21, 0, 10, 20}; /* ant before bird */
    double mean = 0;
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(d->labels[i], i / 3);
        for (size_t p = 0; p < 36; p++)
            assert_int_equal(d->images[i * 36 + p], grey[i]);
        mean += grey[i] / 255.0 / 6;
    }
    assert_true(fabs((double)d->mean[1] - mean) < 1e-6);
    assert_true(data->test.mean[2] == d->mean[2] && data->test.std[0] == d->std[0]);
    assert_true(data->test.labels[0] == 0 && data->test.images[0] == 1);
    ex_data_close(&data);
}

static void test_colours_transparency_and_grey(void **state)
{
    (void)state;
    ex_data *data;
    make_folder("colours/a");
    make_folder("colours/b");
    write_flat("colours/a/1.png", 255, 0, 0);
    write_flat("colours/a/2.png", 10, 200, 30);
    uint8_t clear[4 * 3 * 4];
    for (int i = 0; i < 12; i++)
        memcpy(clear + 4 * i, (const uint8_t[]){90, 80, 70, i % 2 ? 255 : 0}, 4);
    write_png("colours/b/1.png", 4, 3, 4, clear);
    uint8_t grey[12];
    memset(grey, 77, sizeof grey);
    write_png("colours/b/2.png", 4, 3, 1, grey);
    assert_ok(open_folder(&data, "colours", (ex_data_options){.test_share = 0}));
    const uint8_t *images = data->train.images; /* planes of 12 pixels */
    assert_true(images[0] == 255 && images[12] == 0 && images[24] == 0);
    assert_true(images[36] == 10 && images[48] == 200 && images[60] == 30);
    assert_true(images[72] == 0 && images[73] == 90 && images[73 + 12] == 80); /* on black */
    assert_true(images[108] == 77 && images[120] == 77 && images[132] == 77);
    ex_data_close(&data);
    assert_ok(open_folder(&data, "colours", (ex_data_options){.grey = true}));
    assert_int_equal(data->train.channels, 1);
    assert_int_equal(data->train.images[0], 76);   /* .299 * 255 */
    assert_int_equal(data->train.images[12], 124); /* .299 * 10 + .587 * 200 + .114 * 30 */
    assert_int_equal(data->train.images[36], 77);
    ex_data_close(&data);
}

static void test_jpeg_files_hold_what_another_library_sees(void **state)
{
    (void)state;
    ex_data *data;
    static const int left[3] = {200, 40, 90}, right[3] = {20, 160, 250};
    make_folder("jpeg/x");
    make_folder("jpeg/y");
    ex_temp_write("jpeg/x/1.jpg", jpeg, sizeof jpeg, 0);
    ex_temp_write("jpeg/y/1.JPEG", jpeg, sizeof jpeg, 0);
    ex_temp_write("jpeg/y/named.png", jpeg, sizeof jpeg, 0); /* the bytes count, not the name */
    assert_ok(open_folder(&data, "jpeg", (ex_data_options){0}));
    assert_true(data->train.count == 3 && data->train.height == 8 && data->train.width == 16);
    for (int c = 0; c < 3; c++) {
        assert_true(abs(data->train.images[c * 128] - left[c]) <= 3);
        assert_true(abs(data->train.images[c * 128 + 127] - right[c]) <= 3);
    }
    ex_data_close(&data);
    ex_temp_write("jpeg/x/1.jpg", jpeg, sizeof jpeg - 9, 0);
    assert_status(open_folder(&data, "jpeg", (ex_data_options){0}), EX_ERR_INPUT);
    assert_message("jpeg/x/1.jpg is a damaged or unusual JPEG file");
}

static void test_a_folder_without_parts_is_split_by_seed_within_each_class(void **state)
{
    (void)state;
    ex_data *data[3];
    char name[64];
    for (int c = 0; c < 3; c++) {
        snprintf(name, sizeof name, "split/%c", 'a' + c);
        make_folder(name);
        for (uint8_t i = 0; i < 20; i++) {
            snprintf(name, sizeof name, "split/%c/%02d.png", 'a' + c, i);
            write_flat(name, i, (uint8_t)c, 0);
        }
    }
    for (int s = 0; s < 3; s++)
        assert_ok(open_folder(&data[s], "split",
                              (ex_data_options){.test_share = 0.25, .seed = s < 2 ? 1 : 2}));
    for (int s = 0; s < 3; s++) {
        const ex_dataset *sets[2] = {&data[s]->train, &data[s]->test};
        int seen[3][20] = {{0}}, tests[3] = {0};
        for (int part = 0; part < 2; part++)
            for (size_t i = 0; i < sets[part]->count; i++) {
                assert_int_equal(sets[part]->images[i * 36 + 12], sets[part]->labels[i]);
                seen[sets[part]->labels[i]][sets[part]->images[i * 36]]++;
                tests[sets[part]->labels[i]] += part;
            }
        for (int c = 0; c < 3; c++) {
            assert_int_equal(tests[c], 5);
            for (int i = 0; i < 20; i++)
                assert_int_equal(seen[c][i], 1); /* each picture in one part */
        }
    }
    const size_t bytes = 15 * 36;
    assert_memory_equal(data[0]->test.images, data[1]->test.images, bytes);
    assert_memory_not_equal(data[0]->test.images, data[2]->test.images, bytes);
    for (int s = 0; s < 3; s++)
        ex_data_close(&data[s]);
}

static size_t put(uint8_t *file, size_t at, const void *bytes, size_t count)
{
    memcpy(file + at, bytes, count);
    return at + count;
}

/* A progressive file of 8 x 8 grey pixels whose last scan comes `scans` times: its one block has
 * nothing but the code for "no more", one bit 0. */
static size_t make_progressive(uint8_t *file, int scans)
{
    static const uint8_t quantisation[] = {0xff, 0xdb, 0, 67, 0},
                         frame[] = "\xff\xc2\0\x0b\x08\0\x08\0\x08\1\1\x11\0",
                         codes[] = "\xff\xc4\0\x14\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
                         first[] = "\xff\xda\0\x08\1\1\0\0\0\0\x7f",
                         more[] = "\xff\xda\0\x08\1\1\0\1\x3f\0\x7f";
    size_t at = put(file, 0, "\xff\xd8", 2);
    at = put(file, at, quantisation, sizeof quantisation);
    memset(file + at, 1, 64);
    at = put(file, at + 64, frame, sizeof frame - 1);
    at = put(file, at, codes, sizeof codes - 1);
    at = put(file, at, codes, sizeof codes - 1);
    file[at - sizeof codes + 1 + 4] = 0x10; /* the second table is of the scans that follow */
    at = put(file, at, first, sizeof first - 1);
    for (int i = 0; i < scans; i++)
        at = put(file, at, more, sizeof more - 1);
    return put(file, at, "\xff\xd9", 2);
}

/* Each of them goes over all blocks: a file of a few bytes could take hours. */
static void test_a_jpeg_file_of_too_many_scans_is_refused(void **state)
{
    (void)state;
    static uint8_t file[1 << 14];
    ex_data *data;
    make_folder("scans/x");
    make_folder("scans/y");
    ex_temp_write("scans/x/1.jpg", file, make_progressive(file, 20), 0);
    ex_temp_write("scans/y/1.jpg", file, make_progressive(file, 498), 0);
    assert_ok(open_folder(&data, "scans", (ex_data_options){0}));
    assert_int_equal(data->train.width, 8);
    for (int i = 0; i < 2 * 3 * 64; i++)
        assert_int_equal(data->train.images[i], 128);
    ex_data_close(&data);
    ex_temp_write("scans/y/1.jpg", file, make_progressive(file, 501), 0);
    assert_status(open_folder(&data, "scans", (ex_data_options){0}), EX_ERR_INPUT);
    assert_message("scans/y/1.jpg is a damaged or unusual JPEG file: it has more than 500 scans");
}

static void refused(const char *folder, ex_status status, const char *words, const char *more)
{
    ex_data *data;
    assert_status(open_folder(&data, folder, (ex_data_options){.test_share = 0.2}), status);
    assert_message(words);
    assert_message(more);
    assert_null(data);
}

static void test_what_does_not_fit_is_refused_by_name(void **state)
{
    (void)state;
    ex_data *data;
    uint8_t pixels[5 * 3] = {0};
    make_parts("bad");
    write_png("bad/test/ant/9.png", 5, 3, 1, pixels);
    refused("bad", EX_ERR_INPUT, "bad/test/ant/9.png is 3 x 5, but",
            "bad/train/ant/0.png is 3 x 4; all pictures must have one size");
    ex_temp_write("bad/test/ant/9.png", "not a picture", 13, 0);
    refused("bad", EX_ERR_INPUT, "bad/test/ant/9.png is neither PNG nor JPEG", "");
    const size_t bytes = write_png("bad/test/ant/9.png", 4, 3, 1, pixels);
    uint8_t *file = malloc(bytes);
    FILE *in = fopen(ex_temp_path("bad/test/ant/9.png"), "rb");
    assert_int_equal(fread(file, 1, bytes, in), bytes);
    fclose(in);
    ex_temp_write("bad/test/ant/9.png", file, bytes - 30, 0);
    refused("bad", EX_ERR_INPUT, "bad/test/ant/9.png is a damaged PNG file", "");
    memcpy(file + 16, (const uint8_t[]){0, 1, 0, 0}, 4); /* 65,536 pixels wide */
    put32(file + 29, (uint32_t)crc32(0, file + 12, 17));
    ex_temp_write("bad/test/ant/9.png", file, bytes, 0);
    refused("bad", EX_ERR_INPUT, "9.png is 3 x 65536; 1 to 4096 pixels", "");
    free(file);
    assert_int_equal(unlink(ex_temp_path("bad/test/ant/9.png")), 0);
    make_folder("bad/test/cat");
    refused("bad", EX_ERR_INPUT, "bad/test/cat: there are no training images of a class cat", "");
    make_folder("bad/train/cat");
    refused("bad", EX_ERR_INPUT, "bad/train/cat holds no picture", ".jpeg is expected");
    make_folder("alone/x");
    write_flat("alone/x/1.png", 1, 2, 3);
    refused("alone", EX_ERR_INPUT, "1 subfolders; one for each of at least 2 classes", "");
    refused("nowhere", EX_ERR_INPUT, "nowhere: a folder is expected", "");
    assert_status(ex_data_open(&data, "folder", NULL), EX_ERR_CONFIG);
    assert_message("needs data_dir");
}

int main(void)
{
#if !defined(EXCISE_HAVE_PNG) || !defined(EXCISE_HAVE_JPEG)
    fputs("built without libpng or libjpeg: skipped\n", stderr);
    return 77;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes_and_pictures_come_in_the_order_of_their_names),
        cmocka_unit_test(test_colours_transparency_and_grey),
        cmocka_unit_test(test_jpeg_files_hold_what_another_library_sees),
        cmocka_unit_test(test_a_folder_without_parts_is_split_by_seed_within_each_class),
        cmocka_unit_test(test_a_jpeg_file_of_too_many_scans_is_refused),
        cmocka_unit_test(test_what_does_not_fit_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
