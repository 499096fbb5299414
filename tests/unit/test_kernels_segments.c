#include "segments.h"
#include "test_kernels.h"

typedef struct list {
    ex_segment *segments;
    size_t count, total, size; /* size: of the flat vector */
} list;

/* `count` random segments of up to `longest` elements, some empty, some touching. */
static list random_list(size_t count, uint32_t longest, uint64_t seed)
{
    list l = {.segments = calloc(count + 1, sizeof *l.segments), .count = count};
    assert_non_null(l.segments);
    ex_rng r = ex_rng_at((ex_rng_key){.seed = seed, .use = EX_RNG_TEST});
    for (size_t i = 0; i < count; i++) {
        const size_t gap = ex_rng_below(&r, 3) * ex_rng_below(&r, 20);
        l.segments[i] = (ex_segment){l.size + gap, ex_rng_below(&r, longest + 1)};
        l.total += l.segments[i].length;
        l.size += gap + l.segments[i].length;
    }
    l.size += 5;
    return l;
}

static const size_t COUNTS[] = {0, 1, 2, 33, 1023, 1024, 1025, 3000};
static const uint32_t LONGEST[] = {1, 17, 300};

static void check_list(list l)
{
    float *flat = random_floats(l.size, 1), *target = random_floats(l.size, 2);
    float *expected = ex_guard_floats(l.total), *packed = ex_guard_floats(l.total);
    float *unpacked = copied_floats(target, l.size), *copy = copied_floats(flat, l.size);
    ex_segments_pack_ref(expected, flat, l.segments, l.count);
    ex_segments_unpack_ref(unpacked, expected, l.segments, l.count);
    for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
        const ex_stream s = threads_stream(KERNEL_THREADS[t]);
        poison(packed, l.total);
        k->segments_pack(packed, flat, l.segments, l.count, s);
        assert_same_floats(packed, expected, l.total);
        float *mine = copied_floats(target, l.size);
        k->segments_unpack(mine, packed, l.segments, l.count, s);
        assert_same_floats(mine, unpacked, l.size);
        ex_guard_free(mine);
        k->segments_unpack(flat, packed, l.segments, l.count, s);
        assert_same_floats(flat, copy, l.size); /* pack, then unpack: identity */
    }
    ex_guard_free(flat), ex_guard_free(target), ex_guard_free(expected), ex_guard_free(packed);
    ex_guard_free(unpacked), ex_guard_free(copy);
}

static void test_pack_and_unpack_equal_the_reference_and_invert_each_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof COUNTS / sizeof *COUNTS; i++)
        for (size_t j = 0; j < sizeof LONGEST / sizeof *LONGEST; j++) {
            list l = random_list(COUNTS[i], LONGEST[j], i * 10 + j);
            check_list(l);
            free(l.segments);
        }
}

/* Lengths and gaps of whole and broken groups of four, vectors at every alignment. */
static void test_pack_and_unpack_at_any_alignment(void **state)
{
    (void)state;
    static const ex_segment segments[] = {{0, 8},   {9, 4},   {16, 16}, {35, 1},  {36, 4},
                                          {41, 31}, {72, 33}, {105, 0}, {108, 64}};
    const size_t count = sizeof segments / sizeof *segments, total = 161, size = 172;
    for (size_t i = 0; i < 16; i++) {
        const size_t shift_flat = i % 4, shift_packed = i / 4;
        float *flat = shifted_floats(size, shift_flat, 1);
        float *expected = ex_guard_floats(total), *packed = shifted_output(total, shift_packed);
        ex_segments_pack_ref(expected, flat, segments, count);
        k->segments_pack(packed, flat, segments, count, threads_stream(1));
        assert_same_shifted(packed, shift_packed, expected, total);
        float *back = shifted_output(size, shift_flat), *back_expected = ex_guard_floats(size);
        memcpy(back, back_expected, size * sizeof *back);
        k->segments_unpack(back, packed, segments, count, threads_stream(1));
        ex_segments_unpack_ref(back_expected, expected, segments, count);
        assert_same_shifted(back, shift_flat, back_expected, size);
        free_shifted(flat, shift_flat), free_shifted(packed, shift_packed);
        free_shifted(back, shift_flat), ex_guard_free(expected), ex_guard_free(back_expected);
    }
}

static void test_unpack_leaves_bytes_outside_the_segments(void **state)
{
    (void)state;
    list l = random_list(3000, 40, 9);
    for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
        float *flat = random_floats(l.size, 1), *before = random_floats(l.size, 1);
        float *packed = random_floats(l.total, 3);
        k->segments_unpack(flat, packed, l.segments, l.count, threads_stream(KERNEL_THREADS[t]));
        size_t at = 0;
        for (size_t i = 0; i < l.count; at = l.segments[i].offset + l.segments[i].length, i++)
            assert_memory_equal(flat + at, before + at, (l.segments[i].offset - at) * sizeof *flat);
        assert_memory_equal(flat + at, before + at, (l.size - at) * sizeof *flat);
        ex_guard_check(flat, l.size);
        ex_guard_free(flat), ex_guard_free(before), ex_guard_free(packed);
    }
    free(l.segments);
}

/* Shares [0, cut) and [cut, total) visit each element once, wherever the cut falls. */
static void test_parts_of_segments_tile_them_for_every_cut(void **state)
{
    (void)state;
    static const ex_segment segments[] = {{3, 1}, {4, 0}, {9, 2}, {20, 7}, {27, 1}, {40, 3}};
    for (size_t cut = 0; cut <= 14; cut++) {
        int visits[14] = {0};
        for (int share = 0; share < 2; share++)
            for (size_t i = 0, start = 0; i < 6; start += segments[i++].length) {
                size_t low, high;
                ex_segment_part(segments[i], start, share ? cut : 0, share ? 14 : cut, &low, &high);
                for (size_t at = low; at < high; at++) {
                    assert_true(at < segments[i].length);
                    visits[start + at]++;
                }
            }
        for (int i = 0; i < 14; i++)
            assert_int_equal(visits[i], 1);
    }
}

static int64_t *sums(size_t n)
{
    int64_t *acc = malloc((n + 1) * sizeof *acc);
    assert_non_null(acc);
    for (size_t i = 0; i <= n; i++) /* element n is a guard */
        acc[i] = (int64_t)i * 1000003 - 7;
    return acc;
}

static void test_accumulate_adds_in_fixed_point(void **state)
{
    (void)state;
    for (int i = 0; i < KERNEL_SIZES_COUNT; i++) {
        const size_t n = KERNEL_SIZES[i];
        float *x = random_floats(n, 1);
        int64_t *expected = sums(n);
        uint64_t none = 0;
        ex_accumulate_fixed_ref(expected, &none, x, 1.0 / 7.0, n);
        for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
            int64_t *acc = sums(n);
            uint64_t outside = 0;
            k->accumulate_fixed(acc, &outside, x, 1.0 / 7.0, n, threads_stream(KERNEL_THREADS[t]));
            assert_memory_equal(acc, expected, (n + 1) * sizeof *acc);
            assert_true(outside == 0);
            free(acc);
        }
        ex_guard_free(x), free(expected);
    }
}

static void test_accumulate_at_any_alignment(void **state)
{
    (void)state;
    enum { N = 133 };
    for (size_t i = 0; i < 8; i++) {
        const size_t shift = i % 4, shift_acc = i / 4;
        float *x = shifted_floats(N, shift, 1);
        int64_t *expected = sums(N + 1), *acc = sums(N + 1);
        uint64_t outside = 0;
        ex_accumulate_fixed_ref(expected + shift_acc, &outside, x, 0.3, N);
        k->accumulate_fixed(acc + shift_acc, &outside, x, 0.3, N, threads_stream(1));
        assert_memory_equal(acc, expected, (N + 2) * sizeof *acc);
        free_shifted(x, shift), free(expected), free(acc);
    }
}

static void test_accumulate_counts_what_is_out_of_range_and_leaves_its_sum(void **state)
{
    (void)state;
    enum { N = 140001 };
    static const float bad[] = {NAN, INFINITY, -INFINITY, 4194305.0f, -4194305.0f, 3e38f};
    float *x = random_floats(N, 1);
    int64_t *expected = sums(N);
    uint64_t wanted = 0;
    for (size_t i = 0; i < 60; i++)
        x[i * 2333] = bad[i % 6];
    x[1] = 4194304.0f, x[2] = -4194304.0f; /* just inside */
    ex_accumulate_fixed_ref(expected, &wanted, x, 1.0, N);
    assert_true(wanted == 60);
    for (int t = 0; t < KERNEL_THREADS_COUNT; t++) {
        int64_t *acc = sums(N);
        uint64_t outside = 5;
        k->accumulate_fixed(acc, &outside, x, 1.0, N, threads_stream(KERNEL_THREADS[t]));
        assert_memory_equal(acc, expected, (N + 1) * sizeof *acc);
        assert_true(outside == 65);
        free(acc);
    }
    ex_guard_free(x), free(expected);
}

/* Ties go to the even neighbour, at both ends of the range nothing wraps. */
static void test_accumulate_rounds_to_even_and_reaches_the_ends(void **state)
{
    (void)state;
    static const struct {
        float x;
        double weight;
        int64_t sum;
    } cases[] = {{1.0f, 0x1p-41, 0},
                 {1.0f, 0x1.8p-40, 2},
                 {-1.0f, 0x1p-41, 0},
                 {-1.0f, 0x1.8p-40, -2},
                 {1.0f, 0x1.4p-39, 2},
                 {1023.9999f, 0x1p-42, 256},
                 {-1024.0f, 0x1.8p-50, -2},
                 {4194304.0f, 0x1.8p-62, 2},
                 {3.0f, 1.5, (int64_t)9 << 39},
                 {4194304.0f, 1.0, (int64_t)1 << 62},
                 {-4194304.0f, 1.0, -((int64_t)1 << 62)}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t acc = 0;
        uint64_t outside = 0;
        k->accumulate_fixed(&acc, &outside, &cases[i].x, cases[i].weight, 1, threads_stream(1));
        assert_true(acc == cases[i].sum);
        assert_true(outside == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack_and_unpack_equal_the_reference_and_invert_each_other),
        cmocka_unit_test(test_pack_and_unpack_at_any_alignment),
        cmocka_unit_test(test_unpack_leaves_bytes_outside_the_segments),
        cmocka_unit_test(test_parts_of_segments_tile_them_for_every_cut),
        cmocka_unit_test(test_accumulate_adds_in_fixed_point),
        cmocka_unit_test(test_accumulate_at_any_alignment),
        cmocka_unit_test(test_accumulate_counts_what_is_out_of_range_and_leaves_its_sum),
        cmocka_unit_test(test_accumulate_rounds_to_even_and_reaches_the_ends),
    };
    return run_kernel_tests(tests);
}
