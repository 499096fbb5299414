/* The graphs that the back end asks its library for, of every model, are those that
 * test_cudnn_plans shows to have plans (tests/deviceless/model_graphs.h): none is missing there,
 * and none is made up. Plans alone are made here; kernels and the library's work are counted and
 * not run. */
#include "device/device.h"
#include "library/library.h"
#include "model_graphs.h"
#include "test.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 2 };

/* Descriptions, each once. */
typedef struct texts {
    char **text;
    int count, room;
} texts;

static bool has(const texts *t, const char *text)
{
    for (int i = 0; i < t->count; i++)
        if (strcmp(t->text[i], text) == 0)
            return true;
    return false;
}

static void add(const ex_dnn_graph *g, void *context)
{
    texts *t = context;
    char text[EX_GRAPH_TEXT];
    ex_dnn_graph_describe(g, text, sizeof text);
    if (has(t, text))
        return;
    assert_ok(ex_grow(&t->text, t->count, &t->room, 64, sizeof *t->text, "graphs"));
    t->text[t->count++] = strdup(text);
}

static void free_texts(texts *t)
{
    for (int i = 0; i < t->count; i++)
        free(t->text[i]);
    ex_free(&t->text);
    t->count = t->room = 0;
}

static int tell_missing(const texts *from, const texts *of, const char *what)
{
    int missing = 0;
    for (int i = 0; i < of->count; i++)
        if (!has(from, of->text[i])) {
            print_message("%s: %s\n", what, of->text[i]);
            missing++;
        }
    return missing;
}

/* One after the other, as they are made in a run. */
static void make_plans(const ex_model *model, const ex_device_options *options)
{
    static const ex_plan_spec specs[] = {
        {.use = EX_USE_TRAIN, .batch = BATCH, .input_gradient = true},
        {.use = EX_USE_TRAIN, .batch = BATCH, .norm = EX_NORM_FROZEN},
        {.use = EX_USE_EVALUATE, .batch = BATCH},
        {.use = EX_USE_EVALUATE, .batch = BATCH, .keep_nodes = true},
    };
    ex_device *device;
    ex_lane *lane;
    ex_emulated_reset(0);
    ex_emulated_only_count();
    /* The library's norms and pools are faster than kernels of ours. */
    ex_emulated_set_clock(1.0, 0.1);
    assert_ok(ex_device_open(&device, options));
    assert_ok(ex_lane_create(&lane, device, model, 1));
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        ex_plan *plan;
        assert_ok(ex_plan_create(&plan, lane, &specs[i]));
        ex_plan_destroy(&plan);
    }
    ex_lane_destroy(&lane);
    ex_device_close(&device);
}

/* Norms and pools are the library's only where it may be timed. */
static bool is_asked_for(const ex_dnn_graph *g, ex_conv_choice conv)
{
    return conv == EX_CONV_AUTO || g->op[0].kind <= EX_GRAPH_CONV_WGRAD;
}

static void check(ex_model_shape shape, ex_precision precision, ex_conv_choice conv)
{
    const ex_device_options options = {.device = "cuda", .precision = precision, .conv = conv};
    ex_model_graphs graphs;
    texts asked = {0}, listed = {0};
    ex_emulated_library_watch(add, &asked);
    for (const char *const *name = ex_model_names(); *name; name++) {
        ex_model *model = NULL;
        assert_ok(ex_model_create(&model, *name, shape));
        make_plans(model, &options);
        ex_model_destroy(&model);
    }
    ex_emulated_library_watch(NULL, NULL);
    ex_model_graphs_init(&graphs, shape, BATCH, precision);
    for (int i = 0; i < graphs.count; i++) {
        graphs.list[i].direct = conv == EX_CONV_DIRECT;
        if (is_asked_for(&graphs.list[i], conv))
            add(&graphs.list[i], &listed);
    }
    ex_model_graphs_close(&graphs);
    const int wrong = tell_missing(&listed, &asked, "asked for and not listed") +
                      tell_missing(&asked, &listed, "listed and not asked for");
    assert_true(asked.count > 50);
    free_texts(&asked);
    free_texts(&listed);
    assert_int_equal(wrong, 0);
}

static void check_precisions(ex_model_shape shape)
{
    for (ex_precision precision = EX_FP32; precision <= EX_BF16; precision++) {
        check(shape, precision, EX_CONV_AUTO);
        check(shape, precision, EX_CONV_DIRECT);
    }
}

static void test_graphs_of_colour_images_are_those_listed(void **state)
{
    (void)state;
    check_precisions((ex_model_shape){.classes = 10, .channels = 3, .height = 32, .width = 32});
}

static void test_graphs_of_grey_images_are_those_listed(void **state)
{
    (void)state;
    check_precisions((ex_model_shape){.classes = 10, .channels = 1, .height = 28, .width = 28});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_graphs_of_colour_images_are_those_listed),
        cmocka_unit_test(test_graphs_of_grey_images_are_those_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
