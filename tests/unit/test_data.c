#include "data/dataset.h"
#include "io/file.h"
#include "temp.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An IDX pair of `count` images of side x side pixels; image i is filled with i, label i % 10. */
static void write_pair(const char *folder, const char *part, uint8_t count, uint8_t side, int gzip)
{
    char name[256];
    uint8_t header[16] = {0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, side, 0, 0, 0, side};
    const size_t image = (size_t)side * side;
    uint8_t *bytes = malloc(16 + count * image);
    memcpy(bytes, header, 16);
    for (size_t i = 0; i < count * image; i++)
        bytes[16 + i] = (uint8_t)(i / image);
    snprintf(name, sizeof name, "%s/%s-images-idx3-ubyte%s", folder, part, gzip ? ".gz" : "");
    ex_temp_write(name, bytes, 16 + count * image, gzip);
    header[3] = 1;
    memcpy(bytes, header, 8);
    for (size_t i = 0; i < count; i++)
        bytes[8 + i] = (uint8_t)(i % 10);
    snprintf(name, sizeof name, "%s/%s-labels-idx1-ubyte%s", folder, part, gzip ? ".gz" : "");
    ex_temp_write(name, bytes, 8u + count, gzip);
    free(bytes);
}

/* A complete IDX data set in a new folder of that name; returns the folder's path. */
static const char *make_idx(const char *folder, int gzip)
{
    const char *path = ex_temp_path(folder);
    assert_ok(ex_make_folders(path));
    write_pair(folder, "train", 200, 8, gzip);
    write_pair(folder, "t10k", 50, 8, gzip);
    return path;
}

static void test_idx_data_sets_open_from_a_given_folder(void **state)
{
    (void)state;
    for (int gzip = 0; gzip <= 1; gzip++) {
        ex_data *data;
        const ex_data_options options = {.dir = make_idx(gzip ? "gz" : "plain", gzip)};
        assert_ok(ex_data_open(&data, "fashion-mnist", &options));
        assert_int_equal(data->train.count, 200);
        assert_int_equal(data->test.count, 50);
        assert_int_equal(data->train.images[199 * 64 + 63], 199);
        assert_int_equal(data->test.labels[49], 9);
        assert_string_equal(data->train.name, "fashion-mnist");
        assert_int_equal(data->test.classes, 10);
        assert_true(fabsf(data->train.mean[0] - 0.286f) < 1e-3f);
        assert_true(fabsf(data->test.std[0] - 0.353f) < 1e-3f);
        ex_data_close(&data);
        assert_null(data);
    }
}

static void test_the_environment_names_a_folder_of_data_sets(void **state)
{
    (void)state;
    make_idx("collection/mnist", 0);
    assert_int_equal(setenv("EXCISE_DATA", ex_temp_path("collection"), 1), 0);
    ex_data *data;
    assert_ok(ex_data_open(&data, "mnist", NULL));
    assert_int_equal(data->train.count, 200);
    ex_data_close(&data);
    unsetenv("EXCISE_DATA");
}

static void test_a_missing_data_set_says_where_it_was_sought_and_how_to_get_it(void **state)
{
    (void)state;
    ex_data *data;
    ex_data_options options = {.dir = ex_temp_path("nowhere")};
    assert_status(ex_data_open(&data, "cifar10", &options), EX_ERR_INPUT);
    assert_null(data);
    assert_message("data_batch_1.bin");
    assert_message("nowhere/cifar10");
    assert_message("scripts/get_data.sh cifar10");
    options.dir = make_idx("half", 0);
    assert_int_equal(unlink(ex_temp_path("half/t10k-labels-idx1-ubyte")), 0);
    assert_status(ex_data_open(&data, "mnist", &options), EX_ERR_INPUT);
    assert_message("t10k-labels-idx1-ubyte");
    assert_message("scripts/get_data.sh mnist");
    assert_status(ex_data_open(&data, "imagenet", &options), EX_ERR_CONFIG);
    assert_message("one of mnist, fashion-mnist, cifar10, cifar100, folder, synthetic");
}

static void test_train_and_test_images_must_agree(void **state)
{
    (void)state;
    ex_data *data;
    const ex_data_options options = {.dir = make_idx("mixed", 0)};
    write_pair("mixed", "t10k", 50, 9, 0);
    assert_status(ex_data_open(&data, "mnist", &options), EX_ERR_INPUT);
    assert_message("8 x 8, but test images 9 x 9");
}

static void write_batch(const char *name, size_t count)
{
    uint8_t *bytes = calloc(count, 3073);
    for (size_t i = 0; i < count; i++)
        bytes[i * 3073] = (uint8_t)(i % 10);
    ex_temp_write(name, bytes, count * 3073, 0);
    free(bytes);
}

static void test_cifar10_takes_the_batches_that_are_there(void **state)
{
    (void)state;
    ex_data *data;
    assert_ok(ex_make_folders(ex_temp_path("cifar/cifar-10-batches-bin")));
    const ex_data_options options = {.dir = ex_temp_path("cifar")};
    write_batch("cifar/cifar-10-batches-bin/data_batch_1.bin", 30);
    write_batch("cifar/cifar-10-batches-bin/data_batch_2.bin", 20);
    assert_status(ex_data_open(&data, "cifar10", &options), EX_ERR_INPUT);
    assert_message("test_batch.bin");
    write_batch("cifar/cifar-10-batches-bin/test_batch.bin", 10);
    assert_ok(ex_data_open(&data, "cifar10", &options));
    assert_int_equal(data->train.count, 50);
    assert_int_equal(data->test.count, 10);
    assert_int_equal(data->train.channels, 3);
    ex_data_close(&data);
    write_batch("cifar/cifar-10-batches-bin/data_batch_4.bin", 30);
    assert_status(ex_data_open(&data, "cifar10", &options), EX_ERR_INPUT);
    assert_message("has data_batch_4.bin, but no data_batch_3.bin before it");
    assert_message("scripts/get_data.sh cifar10");
}

static void test_cifar100_opens_its_two_files(void **state)
{
    (void)state;
    ex_data *data;
    uint8_t bytes[2 * 3074] = {19, 99, [3074] = 0, 42};
    assert_ok(ex_make_folders(ex_temp_path("c100/cifar-100-binary")));
    ex_temp_write("c100/cifar-100-binary/train.bin", bytes, sizeof bytes, 0);
    const ex_data_options options = {.dir = ex_temp_path("c100")};
    assert_status(ex_data_open(&data, "cifar100", &options), EX_ERR_INPUT);
    assert_message("test.bin");
    ex_temp_write("c100/cifar-100-binary/test.bin", bytes, 3074, 0);
    assert_ok(ex_data_open(&data, "cifar100", &options));
    assert_true(data->train.count == 2 && data->test.count == 1);
    assert_true(data->train.labels[0] == 99 && data->train.labels[1] == 42);
    assert_int_equal(data->test.classes, 100);
    assert_true(fabsf(data->train.mean[2] - 0.4409f) < 1e-4f);
    ex_data_close(&data);
}

static void test_normalisation_is_the_users_where_given(void **state)
{
    (void)state;
    ex_data *data;
    const double mean[3] = {0.485, 0.456, 0.406}, std[1] = {0.25};
    ex_data_options options = {.mean = mean, .mean_count = 3, .std = std, .std_count = 1};
    assert_ok(ex_data_open(&data, "synthetic", &options));
    const ex_dataset *sets[2] = {&data->train, &data->test};
    for (int i = 0; i < 2; i++)
        for (int c = 0; c < 3; c++) {
            assert_true(sets[i]->mean[c] == (float)mean[c]);
            assert_true(sets[i]->std[c] == 0.25f);
        }
    ex_data_close(&data);
    options.mean_count = 2;
    assert_status(ex_data_open(&data, "synthetic", &options), EX_ERR_CONFIG);
    assert_message("normalize.mean has 2 numbers, but images of synthetic have 3 channels");
    assert_null(data);
}

/* Images are filled with their number, so a subset shows which were kept. */
static void test_limits_draw_a_subset_by_seed_in_order(void **state)
{
    (void)state;
    ex_data *data[3];
    ex_data_options options = {
        .dir = make_idx("limit", 0), .train_limit = 60, .test_limit = 7, .seed = 1};
    assert_ok(ex_data_open(&data[0], "mnist", &options));
    assert_ok(ex_data_open(&data[1], "mnist", &options));
    options.seed = 2;
    assert_ok(ex_data_open(&data[2], "mnist", &options));
    int spread = 0;
    for (int i = 0; i < 3; i++) {
        const ex_dataset *d = &data[i]->train;
        assert_int_equal(d->count, 60);
        assert_int_equal(data[i]->test.count, 7);
        for (size_t j = 0; j < d->count; j++) {
            assert_int_equal(d->images[j * 64], d->images[j * 64 + 63]);
            assert_int_equal(d->labels[j], d->images[j * 64] % 10);
            if (j > 0)
                assert_true(d->images[j * 64] > d->images[(j - 1) * 64]);
        }
        spread += d->images[59 * 64] >= 180;
    }
    assert_int_equal(spread, 3); /* drawn from all 200, not the first 60 */
    assert_memory_equal(data[0]->train.images, data[1]->train.images, 60 * 64);
    assert_memory_not_equal(data[0]->train.images, data[2]->train.images, 60 * 64);
    for (int i = 0; i < 3; i++)
        ex_data_close(&data[i]);
    options.train_limit = 201;
    assert_status(ex_data_open(&data[0], "mnist", &options), EX_ERR_CONFIG);
    assert_message("train_samples is 201, but mnist has 200");
}

/* Share of test images that are nearest to the mean image of their class. */
static double nearest_mean_accuracy(const ex_data *data)
{
    const ex_dataset *train = &data->train, *test = &data->test;
    const size_t n = (size_t)train->channels * (size_t)train->height * (size_t)train->width;
    double *mean = calloc(10 * n, sizeof *mean);
    size_t counts[10] = {0}, correct = 0;
    for (size_t i = 0; i < train->count; i++) {
        counts[train->labels[i]]++;
        for (size_t p = 0; p < n; p++)
            mean[train->labels[i] * n + p] += train->images[i * n + p];
    }
    for (size_t i = 0; i < test->count; i++) {
        double nearest = INFINITY;
        size_t found = 10;
        for (size_t k = 0; k < 10; k++) {
            double distance = 0;
            for (size_t p = 0; p < n; p++)
                distance += pow(mean[k * n + p] / (double)counts[k] - test->images[i * n + p], 2);
            if (distance < nearest) {
                nearest = distance;
                found = k;
            }
        }
        correct += found == test->labels[i];
    }
    free(mean);
    return (double)correct / (double)test->count;
}

static void test_synthetic_classes_can_be_told_apart(void **state)
{
    (void)state;
    ex_data *data, *small;
    assert_ok(ex_data_open(&data, "synthetic", NULL));
    assert_true(data->train.channels == 3 && data->train.height == 16 && data->train.width == 16);
    const double accuracy = nearest_mean_accuracy(data);
    print_message("nearest class mean: %.3f\n", accuracy);
    assert_true(accuracy > 0.8);
    double sum = 0, squares = 0;
    const size_t n = data->train.count * 3 * 256;
    for (size_t i = 0; i < n; i++) {
        const double x = data->train.images[i] / 255.0;
        sum += x, squares += x * x;
    }
    const double mean = sum / (double)n, deviation = sqrt(squares / (double)n - mean * mean);
    print_message("mean %.4f, deviation %.4f\n", mean, deviation);
    assert_true(fabs(mean - (double)data->train.mean[0]) < 0.02);
    assert_true(fabs(deviation - (double)data->train.std[0]) < 0.02);
    /* The seed draws the subset; the images themselves stay the same. */
    const ex_data_options more = {.train_limit = 5000, .seed = 9};
    assert_ok(ex_data_open(&small, "synthetic", &more));
    assert_int_equal(small->train.count, 5000);
    assert_memory_equal(small->train.images, data->train.images, n);
    assert_memory_not_equal(data->train.images, data->test.images, 3 * 256);
    ex_data_close(&small);
    ex_data_close(&data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idx_data_sets_open_from_a_given_folder),
        cmocka_unit_test(test_the_environment_names_a_folder_of_data_sets),
        cmocka_unit_test(test_a_missing_data_set_says_where_it_was_sought_and_how_to_get_it),
        cmocka_unit_test(test_train_and_test_images_must_agree),
        cmocka_unit_test(test_cifar10_takes_the_batches_that_are_there),
        cmocka_unit_test(test_cifar100_opens_its_two_files),
        cmocka_unit_test(test_normalisation_is_the_users_where_given),
        cmocka_unit_test(test_limits_draw_a_subset_by_seed_in_order),
        cmocka_unit_test(test_synthetic_classes_can_be_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
