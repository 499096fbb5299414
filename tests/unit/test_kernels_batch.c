#include "test_kernels.h"

enum { IMAGES = 5 };

/* Runs one geometry against the reference, for all numbers of threads; the output lies `lead`
 * floats past a multiple of 16 bytes. */
static void check_shifted_gather(ex_gather_shape g, size_t lead)
{
    const size_t bytes = (size_t)(IMAGES * g.C * g.H * g.W);
    const size_t n = (size_t)(g.N * g.C * g.out_H * g.out_W);
    uint8_t *images = malloc(bytes + 1);
    uint32_t *index = malloc(((size_t)g.N + 1) * sizeof *index);
    float *scale = random_floats((size_t)g.C, 1), *shift = random_floats((size_t)g.C, 2);
    assert_true(images && index);
    ex_rng r = ex_rng_at((ex_rng_key){.seed = 3, .use = EX_RNG_TEST});
    for (size_t i = 0; i < bytes; i++)
        images[i] = (uint8_t)ex_rng_below(&r, 256);
    for (int i = 0; i < g.N; i++)
        index[i] = ex_rng_below(&r, IMAGES);
    g.scale = scale, g.shift = shift;

    float *expected = ex_guard_floats(n), *actual = shifted_output(n, lead);
    ex_batch_gather_ref(expected, images, index, &g);
    for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
        poison(actual, n);
        k->batch_gather(actual, images, index, &g, threads_stream(KERNEL_THREADS[t]));
        assert_same_shifted(actual, lead, expected, n);
    }
    ex_guard_free(expected), free_shifted(actual, lead), ex_guard_free(scale), ex_guard_free(shift);
    free(images), free(index);
}

static void check_gather(ex_gather_shape g)
{
    check_shifted_gather(g, 0);
}

static void test_gather_equals_the_reference_in_every_layout(void **state)
{
    (void)state;
    static const int layouts[][2] = {{1, 1}, {3, 1}, {3, 3}, {4, 2}, {16, 16}, {32, 16}, {5, 5}};
    static const int widths[] = {1, 7, 28, 31, 32, 33};
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
            const int C = layouts[i][0], W = widths[w], H = W == 7 ? 5 : W;
            check_gather((ex_gather_shape){
                .N = 7, .C = C, .H = H, .W = W, .out_H = H, .out_W = W, .block = layouts[i][1]});
        }
}

/* Channels, images and pixels around a warp, and one less than a power of two. */
static void test_gather_of_sizes_around_a_warp(void **state)
{
    (void)state;
    static const int sizes[][5] = {/* N, C, H, W, block */
                                   {2, 31, 3, 1, 31}, {2, 32, 1, 3, 1},   {2, 33, 2, 3, 33},
                                   {1, 33, 3, 3, 1},  {31, 1, 1, 1, 1},   {32, 3, 1, 2, 3},
                                   {33, 2, 2, 1, 2},  {1, 1, 1, 1023, 1}, {1, 1023, 1, 1, 1023},
                                   {1023, 1, 1, 1, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int *s = sizes[i];
        check_gather((ex_gather_shape){.N = s[0],
                                       .C = s[1],
                                       .H = s[2],
                                       .W = s[3],
                                       .out_H = s[2],
                                       .out_W = s[3],
                                       .block = s[4]});
    }
}

static void test_gather_pads_with_black_and_crops(void **state)
{
    (void)state;
    /* out_H, out_W, top, left for an image of 5 x 7 */
    static const int windows[][4] = {{9, 11, 2, 2},  {9, 11, 0, 4},  {5, 11, 0, 3},   {9, 7, 4, 0},
                                     {3, 4, 0, 0},   {5, 7, -2, -3}, {5, 7, 2, 3},    {5, 7, 0, 1},
                                     {4, 4, -1, -9}, {4, 40, 20, 0}, {33, 33, 14, 13}};
    static const int layouts[][2] = {{3, 1}, {3, 3}, {16, 16}};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
        for (size_t j = 0; j < 3; j++)
            check_gather((ex_gather_shape){.N = 3,
                                           .C = layouts[j][0],
                                           .H = 5,
                                           .W = 7,
                                           .out_H = windows[i][0],
                                           .out_W = windows[i][1],
                                           .top = windows[i][2],
                                           .left = windows[i][3],
                                           .block = layouts[j][1]});
}

static void test_gather_at_any_alignment(void **state)
{
    (void)state;
    for (size_t i = 0; i < 8; i++)
        check_shifted_gather(
            (ex_gather_shape){
                .N = 5, .C = 3, .H = 8, .W = 8, .out_H = 8, .out_W = 8, .block = i < 4 ? 1 : 3},
            i % 4);
}

static void test_gather_of_an_empty_batch_writes_nothing(void **state)
{
    (void)state;
    check_gather(
        (ex_gather_shape){.N = 0, .C = 3, .H = 4, .W = 4, .out_H = 4, .out_W = 4, .block = 1});
}

static void test_gather_of_a_large_batch_is_the_same_for_any_threads(void **state)
{
    (void)state;
    for (int block = 1; block <= 3; block += 2)
        check_gather((ex_gather_shape){.N = 65,
                                       .C = 3,
                                       .H = 28,
                                       .W = 28,
                                       .out_H = 32,
                                       .out_W = 32,
                                       .top = 2,
                                       .left = 2,
                                       .block = block});
}

/* --- augmentation ---------------------------------------------------------------------------- */

static void test_augmented_gather_equals_the_reference(void **state)
{
    (void)state;
    static const int layouts[][2] = {{1, 1}, {3, 1}, {3, 3}, {4, 2}, {16, 16}};
    static const int modes[][3] = {{4, 0, 0}, {0, 1, 0},  {0, 0, 5},
                                   {4, 1, 8}, {9, 1, 40}, {0, 0, 0}};
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        for (size_t j = 0; j < sizeof modes / sizeof *modes; j++)
            for (int pad = 0; pad <= 2; pad += 2) {
                const ex_augment a = {.crop = modes[j][0],
                                      .flip = modes[j][1],
                                      .cutout = modes[j][2],
                                      .draws = {{5, (uint32_t)j}, {9, 8, 7, (uint32_t)i}}};
                const ex_gather_shape g = {.N = 13,
                                           .C = layouts[i][0],
                                           .H = 9,
                                           .W = 12,
                                           .out_H = 9 + 2 * pad,
                                           .out_W = 12 + 2 * pad,
                                           .top = pad,
                                           .left = pad,
                                           .block = layouts[i][1],
                                           .augment = &a};
                check_gather(g);
                check_shifted_gather(g, 1);
            }
}

/* `count` views of a grey image, as large as it is. */
static ex_gather_shape square_of_light(int count, int side, const ex_augment *a, const float *scale,
                                       const float *shift)
{
    return (ex_gather_shape){.N = count,
                             .C = 1,
                             .H = side,
                             .W = side,
                             .out_H = side,
                             .out_W = side,
                             .block = 1,
                             .scale = scale,
                             .shift = shift,
                             .augment = a};
}

/* One pixel of light in the middle of the image shows where each view has it: every shift comes
 * about as often as every other, every second image is mirrored, and the two do not hang together.
 */
static void test_crops_and_flips_are_uniform(void **state)
{
    (void)state;
    enum { SIDE = 12, CROP = 2, SPAN = 2 * CROP + 1, COUNT = 20000, ROW = 4, COLUMN = 5 };
    uint8_t image[SIDE * SIDE] = {[ROW * SIDE + COLUMN] = 255};
    uint32_t *index = calloc(COUNT, sizeof *index);
    const size_t floats = (size_t)COUNT * SIDE * SIDE;
    float *out = ex_guard_floats(floats), scale = 1.0f, shift = 0.0f;
    const ex_augment a = {.crop = CROP, .flip = 1, .draws = {{1, 2}, {0, 3, 4, 5}}};
    const ex_gather_shape g = square_of_light(COUNT, SIDE, &a, &scale, &shift);
    k->batch_gather(out, image, index, &g, threads_stream(1));
    int seen[SIDE * SIDE] = {0};
    for (size_t i = 0; i < floats; i++)
        seen[i % (SIDE * SIDE)] += out[i] == 255.0f;
    /* Columns 5 +- 2 unmirrored, 6 +- 2 mirrored: 5 * (5 + 5) cells, those of both twice. */
    const double each = (double)COUNT / (2.0 * SPAN * SPAN);
    int total = 0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            const bool row = abs(y - ROW) <= CROP;
            const int ways =
                row * ((abs(x - COLUMN) <= CROP) + (abs(x - (SIDE - 1 - COLUMN)) <= CROP));
            const double expected = each * ways, found = seen[y * SIDE + x];
            if (fabs(found - expected) > 5.0 * sqrt(expected))
                fail_msg("(%d, %d): %g times, expected about %g", y, x, found, expected);
            total += seen[y * SIDE + x];
        }
    assert_int_equal(total, COUNT);
    ex_guard_check(out, floats);
    ex_guard_free(out);
    free(index);
}

/* The centre of the square lies on each pixel of the map alike. */
static void test_squares_are_cut_out_anywhere(void **state)
{
    (void)state;
    enum { SIDE = 6, COUNT = 20000 };
    uint8_t image[SIDE * SIDE];
    memset(image, 255, sizeof image);
    uint32_t *index = calloc(COUNT, sizeof *index);
    const size_t floats = (size_t)COUNT * SIDE * SIDE;
    float *out = ex_guard_floats(floats), scale = 1.0f, shift = 0.0f;
    const ex_augment a = {.cutout = 1, .draws = {{7, 2}, {0, 3, 4, 5}}};
    const ex_gather_shape g = square_of_light(COUNT, SIDE, &a, &scale, &shift);
    k->batch_gather(out, image, index, &g, threads_stream(1));
    int holes[SIDE * SIDE] = {0}, total = 0;
    for (size_t i = 0; i < floats; i++)
        holes[i % (SIDE * SIDE)] += out[i] == 0.0f;
    const double each = (double)COUNT / (SIDE * SIDE);
    for (int p = 0; p < SIDE * SIDE; p++) {
        assert_true(fabs(holes[p] - each) < 5.0 * sqrt(each));
        total += holes[p];
    }
    assert_int_equal(total, COUNT);
    ex_guard_check(out, floats);
    ex_guard_free(out);
    free(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gather_equals_the_reference_in_every_layout),
        cmocka_unit_test(test_gather_of_sizes_around_a_warp),
        cmocka_unit_test(test_gather_pads_with_black_and_crops),
        cmocka_unit_test(test_gather_at_any_alignment),
        cmocka_unit_test(test_gather_of_an_empty_batch_writes_nothing),
        cmocka_unit_test(test_augmented_gather_equals_the_reference),
        cmocka_unit_test(test_crops_and_flips_are_uniform),
        cmocka_unit_test(test_squares_are_cut_out_anywhere),
        cmocka_unit_test(test_gather_of_a_large_batch_is_the_same_for_any_threads),
    };
    return run_kernel_tests(tests);
}
