#include "base/memory.h"
#include "message.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

/* A small graph is enough: a model's description with a few scattered channels selected. */
static ex_model *model;
static ex_mask *mask, *other, *full;
static float *params, *stats;

static int open_model(void **state)
{
    (void)state;
    const ex_model_shape shape = {.classes = 10, .channels = 3, .height = 16, .width = 16};
    assert_ok(ex_model_create(&model, "resnet20", shape));
    assert_ok(ex_mask_create(&mask, model));
    assert_ok(ex_mask_create(&other, model));
    assert_ok(ex_mask_create_full(&full, model));
    static const int chosen[][2] = {{0, 3}, {5, 0}, {5, 1}, {12, 31}, {18, 40}, {19, 4}};
    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++) {
        assert_ok(ex_mask_select(mask, chosen[i][0], chosen[i][1]));
        /* Same shape, another channel. */
        assert_ok(ex_mask_select(other, chosen[i][0], i == 2 ? 2 : chosen[i][1]));
    }
    assert_ok(ex_mask_seal(mask));
    assert_ok(ex_mask_seal(other));
    assert_int_equal(mask->param_count, other->param_count);
    assert_ok(ex_alloc(&params, model->param_count, sizeof *params, "params"));
    assert_ok(ex_alloc(&stats, model->stat_count, sizeof *stats, "stats"));
    for (size_t i = 0; i < model->param_count; i++)
        params[i] = (float)i + 0.5f;
    for (size_t i = 0; i < model->stat_count; i++)
        stats[i] = -(float)i - 0.25f;
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    ex_free(&params);
    ex_free(&stats);
    ex_mask_destroy(&mask);
    ex_mask_destroy(&other);
    ex_mask_destroy(&full);
    ex_model_destroy(&model);
    return 0;
}

static uint8_t *encode(const ex_message *m, size_t *size)
{
    *size = ex_message_bytes(m);
    uint8_t *bytes = malloc(*size + 8);
    memset(bytes, 0xa5, *size + 8);
    assert_ok(ex_message_encode(bytes, m, params, stats));
    for (int i = 0; i < 8; i++)
        assert_int_equal(bytes[*size + (size_t)i], 0xa5);
    return bytes;
}

/* Is element i inside the segments? Plain search, independent of pack and unpack. */
static bool inside(size_t i, const ex_segment *segments, size_t count)
{
    for (size_t s = 0; s < count; s++)
        if (i >= segments[s].offset && i < segments[s].offset + segments[s].length)
            return true;
    return false;
}

static void check_round_trip(const ex_message *m)
{
    size_t size;
    uint8_t *bytes = encode(m, &size);
    float *p = calloc(model->param_count, sizeof *p), *s = calloc(model->stat_count, sizeof *s);
    assert_ok(ex_message_decode(bytes, size, m, p, s));
    const bool values = m->kind != EX_MESSAGE_MASK;
    for (size_t i = 0; i < model->param_count; i++)
        if (p[i] != (values && inside(i, m->mask->params, m->mask->param_segments) ? params[i] : 0))
            fail_msg("parameter %zu is %g", i, (double)p[i]);
    for (size_t i = 0; i < model->stat_count; i++)
        if (s[i] != (values && inside(i, m->mask->stats, m->mask->stat_segments) ? stats[i] : 0))
            fail_msg("statistic %zu is %g", i, (double)s[i]);
    free(p);
    free(s);
    free(bytes);
}

static void test_values_arrive_where_the_mask_says_and_nowhere_else(void **state)
{
    (void)state;
    for (int kind = EX_MESSAGE_MODEL; kind <= EX_MESSAGE_MASK; kind++)
        for (int with_mask = 0; with_mask < 2; with_mask++)
            for (int whole = 0; whole < 2; whole++) {
                const ex_message m = {.kind = (ex_message_kind)kind,
                                      .round = 7,
                                      .client = 3,
                                      .mask = whole ? full : mask,
                                      .with_mask = with_mask};
                check_round_trip(&m);
            }
}

static void test_sizes_are_header_mask_and_values(void **state)
{
    (void)state;
    const size_t channels = (size_t)model->channel_count; /* 688 + 10 */
    assert_int_equal(channels, 698);
    ex_message m = {.kind = EX_MESSAGE_UPDATE, .mask = full};
    assert_int_equal(ex_message_bytes(&m), 40 + 4 * (model->param_count + model->stat_count));
    m.mask = mask;
    const size_t values = 4 * (mask->param_count + mask->stat_count);
    assert_int_equal(ex_message_bytes(&m), 40 + values);
    m.with_mask = true;
    assert_int_equal(ex_message_bytes(&m), 40 + 88 + values); /* 698 bits in words of 32 */
    m.kind = EX_MESSAGE_MASK;
    assert_int_equal(ex_message_bytes(&m), 40 + 88);
}

/* The layout that message.h fixes, byte by byte. */
static void test_layout_is_the_documented_one(void **state)
{
    (void)state;
    const ex_message m = {.kind = EX_MESSAGE_UPDATE,
                          .round = 0x01020304,
                          .client = 5,
                          .mask = mask,
                          .with_mask = true};
    size_t size;
    uint8_t *bytes = encode(&m, &size);
    static const uint8_t start[] = {'E', 'X', 'M', 'S', 'G', 0, 0, 1, 2, 0,
                                    0,   0,   4,   3,   2,   1, 5, 0, 0, 0};
    assert_memory_equal(bytes, start, sizeof start);
    static const uint8_t mask_bytes[8] = {88};
    assert_memory_equal(bytes + 24, mask_bytes, 8);
    const size_t values = mask->param_count + mask->stat_count;
    assert_int_equal(bytes[32] + 256u * bytes[33] + 65536u * bytes[34], values);
    assert_int_equal(bytes[40], 1 << 3); /* channel 3 of layer 0 */
    float first;
    memcpy(&first, bytes + 40 + 88, sizeof first);
    assert_true(first == params[mask->params[0].offset]);
    float last;
    memcpy(&last, bytes + size - 4, sizeof last);
    const ex_segment *end = &mask->stats[mask->stat_segments - 1];
    assert_true(last == stats[end->offset + end->length - 1]);
    free(bytes);
}

static void test_every_flipped_byte_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    const ex_message m = {
        .kind = EX_MESSAGE_UPDATE, .round = 1, .client = 2, .mask = mask, .with_mask = true};
    size_t size;
    uint8_t *bytes = encode(&m, &size);
    float *p = calloc(model->param_count, sizeof *p), *s = calloc(model->stat_count, sizeof *s);
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit += 7) {
            bytes[i] ^= (uint8_t)(1 << bit);
            if (ex_message_decode(bytes, size, &m, p, s) != EX_ERR_INPUT)
                fail_msg("bit %d of byte %zu flipped and not refused", bit, i);
            bytes[i] ^= (uint8_t)(1 << bit);
        }
    for (size_t i = 0; i < model->param_count; i++)
        assert_true(p[i] == 0);
    assert_ok(ex_message_decode(bytes, size, &m, p, s)); /* whole again */
    free(p);
    free(s);
    free(bytes);
}

static void test_every_truncation_and_a_longer_message_are_refused(void **state)
{
    (void)state;
    const ex_message m = {.kind = EX_MESSAGE_UPDATE, .mask = mask};
    size_t size;
    uint8_t *bytes = encode(&m, &size);
    for (size_t n = 0; n < size + 4; n++) {
        if (n == size)
            continue;
        /* An exact allocation lets a sanitizer see any read beyond it. */
        uint8_t *part = malloc(n ? n : 1);
        memcpy(part, bytes, n);
        assert_status(ex_message_decode(part, n, &m, params, stats), EX_ERR_INPUT);
        free(part);
    }
    free(bytes);
}

static void test_another_mask_kind_round_or_client_is_refused(void **state)
{
    (void)state;
    const ex_message m = {
        .kind = EX_MESSAGE_UPDATE, .round = 1, .client = 2, .mask = mask, .with_mask = true};
    size_t size;
    uint8_t *bytes = encode(&m, &size);
    ex_message e[5] = {m, m, m, m, m};
    e[0].mask = other, e[1].mask = full, e[2].kind = EX_MESSAGE_MODEL, e[3].round = 2;
    e[4].client = 1;
    static const char *const says[] = {"other channels", "size", "kind 1 was expected, 2 found",
                                       "round 2 was expected, 1 found", "client"};
    for (int i = 0; i < 5; i++) {
        assert_status(ex_message_decode(bytes, size, &e[i], params, stats), EX_ERR_INPUT);
        assert_message(says[i]);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_arrive_where_the_mask_says_and_nowhere_else),
        cmocka_unit_test(test_sizes_are_header_mask_and_values),
        cmocka_unit_test(test_layout_is_the_documented_one),
        cmocka_unit_test(test_every_flipped_byte_is_refused_and_changes_nothing),
        cmocka_unit_test(test_every_truncation_and_a_longer_message_are_refused),
        cmocka_unit_test(test_another_mask_kind_round_or_client_is_refused),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
