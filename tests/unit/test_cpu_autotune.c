/* Which algorithm is chosen, given what the trials take: by a clock that is moved here, by as much
 * for each convolution as the test says. Nothing is computed and nothing is timed. */
#include "cpu/cpu_impl.h"
#include "net_fixture.h"
#include "temp.h"
#include "test.h"
#include "winograd.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* --- the clock -------------------------------------------------------------------------------- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
dnnl_status_t __wrap_dnnl_primitive_execute(const_dnnl_primitive_t primitive, dnnl_stream_t stream,
                                            int count, const dnnl_exec_arg_t *args);
void __wrap_ex_winograd_filters(float *out, const float *filters, int turned, int K, int C,
                                ex_stream s);
void __wrap_ex_winograd_conv(void *y, const void *x, const float *filters,
                             const ex_winograd_end *end, const ex_winograd_shape *shape,
                             float *scratch, ex_stream s);
void __wrap_ex_winograd_weights(float *dw, const void *x, const void *dy,
                                const ex_winograd_shape *shape, float *scratch, ex_stream s);
void __wrap_ex_conv_rows_bwd_host(float *dw, float *dsum, const void *x, const void *dy,
                                  const int32_t *row, int rows, const ex_conv_shape *c,
                                  float *scratch, ex_stream s);

/* Seconds that a run takes. */
typedef struct costs {
    double direct, pixels, winograd, tiles;
    double rows;    /* 0: so long that they are not chosen */
    double first;   /* the first run of pixels, beside that */
    double filters; /* what makes those of pixels and tiles ready, or brings them back */
} costs;

static costs cost;
static double now;
static int pixel_runs;
static bool last_was_pixels;

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
    (void)clock;
    t->tv_sec = (time_t)now;
    t->tv_nsec = (long)((now - (double)t->tv_sec) * 1e9);
    return 0;
}

/* Maps that are NHWC are in none of the layouts that blocks describe. */
static bool is_pixels(const_dnnl_primitive_desc_t pd, int C)
{
    const ex_dnn_op op = {.pd = (dnnl_primitive_desc_t)pd};
    const int arg = ex_dnn_op_bytes(&op, DNNL_ARG_DIFF_SRC) ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC;
    return ex_dnn_op_block(&op, arg, C) == 0;
}

enum { PIXEL_CHANNELS = 16 };

dnnl_status_t __wrap_dnnl_primitive_execute(const_dnnl_primitive_t primitive, dnnl_stream_t stream,
                                            int count, const dnnl_exec_arg_t *args)
{
    const_dnnl_primitive_desc_t pd;
    dnnl_primitive_kind_t kind;
    const char *info;
    (void)stream, (void)count, (void)args;
    assert_ok(EX_DNN(dnnl_primitive_get_primitive_desc(primitive, &pd)));
    assert_ok(EX_DNN(dnnl_primitive_desc_query(pd, dnnl_query_primitive_kind, 0, &kind)));
    assert_ok(EX_DNN(dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&info)));
    if (kind == dnnl_reorder) {
        now += last_was_pixels ? cost.filters : 0.0;
        return dnnl_success;
    }
    last_was_pixels = !strstr(info, "wino") && is_pixels(pd, PIXEL_CHANNELS);
    if (last_was_pixels)
        now += cost.pixels + (pixel_runs++ ? 0.0 : cost.first);
    else
        now += strstr(info, "wino") ? cost.winograd : cost.direct;
    return dnnl_success;
}

void __wrap_ex_winograd_filters(float *out, const float *filters, int turned, int K, int C,
                                ex_stream s)
{
    (void)out, (void)filters, (void)turned, (void)K, (void)C, (void)s;
    now += cost.filters;
}

void __wrap_ex_winograd_conv(void *y, const void *x, const float *filters,
                             const ex_winograd_end *end, const ex_winograd_shape *shape,
                             float *scratch, ex_stream s)
{
    (void)y, (void)x, (void)filters, (void)end, (void)shape, (void)scratch, (void)s;
    now += cost.tiles;
}

void __wrap_ex_winograd_weights(float *dw, const void *x, const void *dy,
                                const ex_winograd_shape *shape, float *scratch, ex_stream s)
{
    (void)dw, (void)x, (void)dy, (void)shape, (void)scratch, (void)s;
    now += cost.tiles;
}

void __wrap_ex_conv_rows_bwd_host(float *dw, float *dsum, const void *x, const void *dy,
                                  const int32_t *row, int rows, const ex_conv_shape *c,
                                  float *scratch, ex_stream s)
{
    (void)dw, (void)dsum, (void)x, (void)dy, (void)scratch, (void)s;
    assert_int_equal(rows, c->K);
    assert_int_equal(row[rows - 1], rows - 1);
    now += cost.rows > 0.0 ? cost.rows : 1.0;
}

/* --- choosing --------------------------------------------------------------------------------- */

/* 6 x 6 pixels are none for tiles. */
enum { BATCH = 8, PIXEL_SIDE = 6, TILE_CHANNELS = 32, TILE_SIDE = 8 };

static ex_dnn_conv conv_of(ex_dnn_pass pass, int channels, int side)
{
    return (ex_dnn_conv){.pass = pass,
                         .N = BATCH,
                         .C = channels,
                         .K = channels,
                         .window = {.H = side,
                                    .W = side,
                                    .out_H = side,
                                    .out_W = side,
                                    .R = 3,
                                    .S = 3,
                                    .stride = 1,
                                    .pad = 1},
                         .src_block = 16,
                         .dst_block = 16};
}

static ex_dnn_conv pixel_conv(ex_dnn_pass pass)
{
    return conv_of(pass, PIXEL_CHANNELS, PIXEL_SIDE);
}

static void open_fixture(ex_net_fixture *f, costs c)
{
    ex_net_fixture_open(f, 0, BATCH, 1, EX_CONV_AUTO);
    cost = c;
    pixel_runs = 0;
    last_was_pixels = false;
}

static ex_dnn_algorithm choice(const ex_net_fixture *f, ex_dnn_conv c)
{
    assert_ok(ex_cpu_choose(ex_cpu_lane_of(f->lane), &c));
    return c.algorithm;
}

/* Of a new device. */
static ex_dnn_algorithm choice_at(costs c, ex_dnn_conv conv)
{
    ex_net_fixture f;
    open_fixture(&f, c);
    const ex_dnn_algorithm a = choice(&f, conv);
    ex_net_fixture_close(&f);
    return a;
}

static void test_the_fastest_is_chosen(void **state)
{
    (void)state;
    const ex_dnn_conv c = pixel_conv(EX_DNN_FORWARD);
    assert_int_equal(choice_at((costs){.direct = 2e-3, .pixels = 1e-3, .winograd = 1}, c),
                     EX_DNN_PIXELS);
    assert_int_equal(choice_at((costs){.direct = 1e-3, .pixels = 2e-3, .winograd = 1}, c),
                     EX_DNN_DIRECT);
}

static void test_a_cold_first_run_does_not_drop_the_fastest(void **state)
{
    (void)state;
    const costs c = {.direct = 1e-3, .pixels = 5e-4, .first = 4e-3, .winograd = 1};
    assert_int_equal(choice_at(c, pixel_conv(EX_DNN_FORWARD)), EX_DNN_PIXELS);
}

static void test_what_is_hopeless_is_run_twice_and_what_is_long_once(void **state)
{
    (void)state;
    const ex_dnn_conv c = pixel_conv(EX_DNN_FORWARD);
    assert_int_equal(choice_at((costs){.direct = 1e-3, .pixels = 5e-3, .winograd = 1}, c),
                     EX_DNN_DIRECT);
    assert_int_equal(pixel_runs, 2);
    const costs is_long = {.direct = 1e-3, .pixels = 5e-4, .first = 0.1, .winograd = 1};
    assert_int_equal(choice_at(is_long, c), EX_DNN_DIRECT);
    assert_int_equal(pixel_runs, 1);
}

/* Evaluation makes its filters once. */
static void test_training_counts_what_its_filters_take_in_every_step(void **state)
{
    (void)state;
    const costs c = {.direct = 3e-3, .pixels = 1e-3, .filters = 4e-3, .winograd = 1};
    assert_int_equal(choice_at(c, pixel_conv(EX_DNN_FORWARD)), EX_DNN_PIXELS);
    assert_int_equal(choice_at(c, pixel_conv(EX_DNN_FORWARD_TRAIN)), EX_DNN_DIRECT);
    assert_int_equal(choice_at(c, pixel_conv(EX_DNN_BACKWARD_DATA)), EX_DNN_DIRECT);
    assert_int_equal(choice_at(c, pixel_conv(EX_DNN_BACKWARD_WEIGHTS)), EX_DNN_DIRECT);
}

/* The gradient of filters needs none, and is written where it belongs. */
static void test_tiles_count_their_filters_too(void **state)
{
    (void)state;
    if (!ex_winograd_is_fast())
        skip(); /* plans do without them */
    static const ex_dnn_algorithm expected[] = {[EX_DNN_FORWARD_TRAIN] = EX_DNN_DIRECT,
                                                [EX_DNN_FORWARD] = EX_DNN_TILES,
                                                [EX_DNN_BACKWARD_DATA] = EX_DNN_DIRECT,
                                                [EX_DNN_BACKWARD_WEIGHTS] = EX_DNN_TILES};
    const costs c = {.direct = 3e-3, .tiles = 1e-3, .filters = 4e-3, .winograd = 1};
    for (int pass = 0; pass < 4; pass++)
        assert_int_equal(choice_at(c, conv_of((ex_dnn_pass)pass, TILE_CHANNELS, TILE_SIDE)),
                         expected[pass]);
}

/* Maps whose channels do not lie together by sixteen are none for them. */
static void test_gradients_of_filters_may_be_by_rows(void **state)
{
    (void)state;
    const costs c = {.direct = 3e-3, .pixels = 2e-3, .winograd = 1, .tiles = 1, .rows = 1e-3};
    ex_dnn_conv conv = pixel_conv(EX_DNN_BACKWARD_WEIGHTS);
    assert_int_equal(choice_at(c, conv), EX_DNN_ROWS);
    conv.window.stride = 2;
    conv.window.out_H = conv.window.out_W = PIXEL_SIDE / 2;
    assert_int_equal(choice_at(c, conv), EX_DNN_ROWS);
    conv.src_block = 1;
    assert_int_equal(choice_at(c, conv), EX_DNN_DIRECT);
    assert_int_equal(choice_at(c, pixel_conv(EX_DNN_BACKWARD_DATA)), EX_DNN_PIXELS);
}

static void test_one_shape_in_two_layouts_is_two_choices(void **state)
{
    (void)state;
    ex_net_fixture f;
    ex_dnn_conv c = pixel_conv(EX_DNN_FORWARD);
    open_fixture(&f, (costs){.direct = 2e-3, .pixels = 1e-3, .winograd = 1});
    assert_int_equal(choice(&f, c), EX_DNN_PIXELS);
    c.src_block = 1;
    assert_int_equal(choice(&f, c), EX_DNN_DIRECT);
    c.src_block = 16, c.dst_block = 1;
    assert_int_equal(choice(&f, c), EX_DNN_DIRECT);
    ex_net_fixture_close(&f);
}

/* --- files of earlier versions ---------------------------------------------------------------- */

/* Takes the layouts out of the keys. */
static void make_old(const char *path)
{
    const char *key, *layouts;
    json_t *value, *old = json_object(), *root = json_load_file(path, 0, NULL);
    json_object_foreach(json_object_get(root, "algorithms"), key, value)
    {
        char before[256];
        layouts = strstr(key, " src16 dst16");
        assert_non_null(layouts);
        snprintf(before, sizeof before, "%.*s%s", (int)(layouts - key), key,
                 layouts + strlen(" src16 dst16"));
        assert_int_equal(json_object_set(old, before, value), 0);
    }
    assert_int_equal(json_object_size(old), 1);
    assert_int_equal(json_object_set_new(root, "algorithms", old), 0);
    assert_int_equal(json_dump_file(root, path, 0), 0);
    json_decref(root);
}

static size_t choices_in(const char *path)
{
    json_t *root = json_load_file(path, 0, NULL);
    const size_t count = json_object_size(json_object_get(root, "algorithms"));
    json_decref(root);
    return count;
}

static void test_choices_that_tell_no_layouts_are_timed_again(void **state)
{
    (void)state;
    const char *path = ex_temp_path("algorithms.json");
    const ex_dnn_conv c = pixel_conv(EX_DNN_FORWARD);
    ex_net_fixture f;
    open_fixture(&f, (costs){.direct = 2e-3, .pixels = 1e-3, .winograd = 1});
    assert_int_equal(choice(&f, c), EX_DNN_PIXELS);
    assert_ok(ex_device_write_algorithms(f.device, path));
    ex_net_fixture_close(&f);
    for (int old = 0; old < 2; old++) {
        if (old)
            make_old(path);
        open_fixture(&f, (costs){.direct = 1e-3, .pixels = 2e-3, .winograd = 1});
        assert_ok(ex_device_read_algorithms(f.device, path));
        assert_int_equal(choice(&f, c), old ? EX_DNN_DIRECT : EX_DNN_PIXELS);
        assert_ok(ex_device_write_algorithms(f.device, path));
        assert_int_equal(choices_in(path), 1);
        ex_net_fixture_close(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_fastest_is_chosen),
        cmocka_unit_test(test_a_cold_first_run_does_not_drop_the_fastest),
        cmocka_unit_test(test_what_is_hopeless_is_run_twice_and_what_is_long_once),
        cmocka_unit_test(test_training_counts_what_its_filters_take_in_every_step),
        cmocka_unit_test(test_tiles_count_their_filters_too),
        cmocka_unit_test(test_gradients_of_filters_may_be_by_rows),
        cmocka_unit_test(test_one_shape_in_two_layouts_is_two_choices),
        cmocka_unit_test(test_choices_that_tell_no_layouts_are_timed_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
