/* cuDNN has a plan for every graph that the CUDA back end makes of the models, on a GPU that is
 * described but not there.
 *
 * Kernels that cuDNN brings along are planned to the end. Those that it compiles when a plan is
 * made (in bf16, and for norms and pools) stop where the driver would load them: that cuDNN lists
 * them shows that its check of support passed, and one of each kind is compiled as far as that. No
 * more is asserted of them.
 *
 *     test_cudnn_plans GPU.json [report]       report: what has no plan is told, and is no failure
 *
 * EXCISE_TEST_BATCHES: these batch sizes alone, and nothing else, instead of "1 7 128".
 * EXCISE_TEST_GREY: images of one channel and 28 x 28 pixels, not of three and 32 x 32. */
#include "model_graphs.h"

#include "test.h"

#include "base/memory.h"
#include "cuda/dnn_graph_cudnn_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *gpu_file;
static bool only_report;

static ex_dnn_handle *open_gpu(void)
{
    char text[4096];
    ex_dnn_handle *handle = NULL;
    FILE *file = fopen(gpu_file, "r");
    assert_non_null(file);
    const size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    assert_ok(ex_dnn_handle_create_deviceless(&handle, text));
    return handle;
}

typedef enum answer {
    BUILT,    /* a plan was made */
    COMPILED, /* its kernel was compiled; no driver loads it here */
    LISTED,   /* cuDNN's check of support passed for a kernel that it would compile */
    NONE,
    ANSWERS
} answer;

/* Makes a plan of the first candidate that can be: of a kernel that is there, or, if `compiles`, of
 * one that is compiled. */
static answer plan_of(ex_dnn_handle *handle, const ex_dnn_graph *g, int count, bool compiles)
{
    for (int i = 0; i < count; i++) {
        ex_dnn_plan *plan = NULL;
        bool does = false;
        assert_ok(ex_cudnn_compiles(handle->choices->config[i], &does));
        if (does != compiles)
            continue;
        const ex_status status = ex_dnn_plan_create(&plan, handle, g, i, NULL);
        ex_dnn_plan_destroy(&plan);
        if (status == EX_OK)
            return BUILT;
        if (compiles && strstr(ex_error_message(), "cuLibraryLoadData"))
            return COMPILED;
    }
    return NONE;
}

/* Whether a graph of these operations in this precision was compiled before. */
static bool seen(const ex_dnn_graph *g)
{
    static unsigned long known[64];
    static int count;
    unsigned long key = (unsigned long)g->precision + 1;
    for (int i = 0; i < g->op_count; i++)
        key = key * 16 + (unsigned long)g->op[i].kind;
    for (int i = 0; i < count; i++)
        if (known[i] == key)
            return true;
    if (count < 64)
        known[count++] = key;
    return false;
}

static answer ask(ex_dnn_handle *handle, const ex_dnn_graph *g)
{
    int count = 0;
    if (ex_dnn_plan_count(&count, handle, g) != EX_OK)
        return NONE;
    assert_true(count > 0);
    if (plan_of(handle, g, count, false) == BUILT)
        return BUILT;
    return seen(g) ? LISTED : plan_of(handle, g, count, true);
}

static bool has_convolution(const ex_dnn_graph *g)
{
    return g->op[0].kind <= EX_GRAPH_CONV_WGRAD;
}

/* Pools that cuDNN 9.19 knows only by engines that may round for tensor cores, which fp32 does not
 * allow: kernels of ours take them. */
static bool refused_pool(const ex_dnn_graph *g)
{
    const ex_graph_op_kind kind = g->op[0].kind;
    return g->precision == EX_FP32 &&
           (kind == EX_GRAPH_MAXPOOL_FWD || kind == EX_GRAPH_MAXPOOL_BWD ||
            kind == EX_GRAPH_AVGPOOL_BWD);
}

static ex_model_shape shape_of_images(void)
{
    if (getenv("EXCISE_TEST_GREY"))
        return (ex_model_shape){.classes = 10, .channels = 1, .height = 28, .width = 28};
    return (ex_model_shape){.classes = 10, .channels = 3, .height = 32, .width = 32};
}

/* How many of the models' graphs have no plan, or convolutions one that is slow to make: nothing of
 * theirs is compiled at run time but in bf16, which would take seconds a plan. */
static int check(ex_dnn_handle *handle, int batch, ex_precision precision, bool direct)
{
    static const char *const PRECISIONS[] = {"fp32", "tf32", "bf16"};
    ex_model_graphs graphs;
    int counts[ANSWERS] = {0}, missing = 0, unexpected = 0;
    char text[EX_GRAPH_TEXT];
    ex_model_graphs_init(&graphs, shape_of_images(), batch, precision);
    for (int i = 0; i < graphs.count; i++) {
        graphs.list[i].direct = direct;
        const answer a = ask(handle, &graphs.list[i]);
        counts[a]++;
        ex_dnn_graph_describe(&graphs.list[i], text, sizeof text);
        if (a == NONE && !refused_pool(&graphs.list[i]))
            print_message("no plan: %s\n         %s\n", text, ex_error_message());
        if (a == COMPILED)
            print_message("compiled at run time: %s\n", text);
        if (a != BUILT && precision != EX_BF16 && has_convolution(&graphs.list[i]))
            missing++;
        else if (a == NONE && !refused_pool(&graphs.list[i]))
            missing++;
        else if (a != NONE && refused_pool(&graphs.list[i]))
            unexpected++;
    }
    print_message(
        "%s, %s%s, batch %d: %d graphs: %d planned; %d compiled, not loaded; %d passed the "
        "check of support; %d without a plan\n",
        handle->kind, PRECISIONS[precision], direct ? " direct" : "", batch, graphs.count,
        counts[BUILT], counts[COMPILED], counts[LISTED], counts[NONE]);
    assert_true(graphs.count > 80);
    ex_model_graphs_close(&graphs);
    if (!only_report)
        assert_int_equal(unexpected, 0);
    return missing;
}

static void test_every_graph_of_the_models_has_a_plan(void **state)
{
    (void)state;
    const char *batches = getenv("EXCISE_TEST_BATCHES");
    ex_dnn_handle *handle = open_gpu();
    int none = 0;
    for (const char *p = batches ? batches : "1 7 128"; *p;) {
        char *end;
        const int batch = (int)strtol(p, &end, 10);
        assert_true(end != p && batch > 0);
        for (ex_precision precision = EX_FP32; precision <= EX_BF16; precision++)
            none += check(handle, batch, precision, false);
        for (ex_precision precision = EX_FP32; precision <= EX_BF16; precision++)
            none += check(handle, batch, precision, true);
        p = end;
    }
    ex_dnn_handle_destroy(&handle);
    if (!only_report)
        assert_int_equal(none, 0);
}

static ex_dnn_graph small_conv(ex_graph_op_kind kind, ex_precision precision)
{
    ex_dnn_graph g = {.precision = precision};
    const int map[] = {8, 16, 32, 32}, filter[] = {16, 16, 3, 3};
    ex_dnn_graph_tensor(&g, map, EX_GRAPH_F32, false);
    ex_dnn_graph_tensor(&g, kind == EX_GRAPH_CONV_WGRAD ? map : filter, EX_GRAPH_F32, false);
    ex_dnn_graph_tensor(&g, kind == EX_GRAPH_CONV_WGRAD ? filter : map, EX_GRAPH_F32, false);
    ex_dnn_graph_op(
        &g, (ex_graph_op){
                .kind = kind, .in = {0, 1}, .out = {2}, .R = 3, .S = 3, .stride = 1, .pad = 1});
    return g;
}

/* The way that clients could be fused (dnn_graph.h): ten of resnet20's, side by side. */
static void test_ten_clients_side_by_side_are_grouped_convolutions(void **state)
{
    (void)state;
    enum { CLIENTS = 10, BATCH = 128 };
    static const ex_graph_op_kind KINDS[] = {EX_GRAPH_CONV_FWD, EX_GRAPH_CONV_DGRAD,
                                             EX_GRAPH_CONV_WGRAD};
    ex_dnn_handle *handle = open_gpu();
    for (int i = 0; i < 9; i++) {
        const ex_precision precision = (ex_precision)(i % 3);
        for (int C = 16; C <= 64; C *= 2) {
            const ex_graph_op_kind kind = KINDS[i / 3];
            const ex_graph_type type = precision == EX_BF16 ? EX_GRAPH_BF16 : EX_GRAPH_F32;
            const int map[] = {BATCH, CLIENTS * C, 512 / C, 512 / C};
            const int filter[] = {CLIENTS * C, C, 3, 3};
            ex_dnn_graph g = {.precision = precision};
            int count = 0;
            ex_dnn_graph_tensor(&g, map, type, false);
            ex_dnn_graph_tensor(&g, kind == EX_GRAPH_CONV_WGRAD ? map : filter, type, false);
            ex_dnn_graph_tensor(&g, kind == EX_GRAPH_CONV_WGRAD ? filter : map, type, false);
            ex_dnn_graph_op(
                &g,
                (ex_graph_op){
                    .kind = kind, .in = {0, 1}, .out = {2}, .R = 3, .S = 3, .stride = 1, .pad = 1});
            const ex_status status = ex_dnn_plan_count(&count, handle, &g);
            if (status != EX_OK)
                print_message("no plan: %s\n", ex_error_message());
            assert_true(only_report || count > 0);
        }
    }
    ex_dnn_handle_destroy(&handle);
}

static void test_a_plan_is_made_again_from_its_text(void **state)
{
    (void)state;
    const ex_dnn_graph g = small_conv(EX_GRAPH_CONV_FWD, EX_FP32);
    const ex_dnn_graph other = small_conv(EX_GRAPH_CONV_WGRAD, EX_FP32);
    ex_dnn_handle *handle = open_gpu();
    ex_dnn_plan *plan = NULL, *again = NULL;
    char *text = NULL, *second = NULL;
    assert_ok(ex_dnn_plan_create(&plan, handle, &g, 0, NULL));
    assert_ok(ex_dnn_plan_store(plan, &text));
    assert_ok(ex_dnn_plan_create(&again, handle, &g, 0, text));
    assert_int_equal(ex_dnn_plan_workspace(plan), ex_dnn_plan_workspace(again));
    assert_ok(ex_dnn_plan_store(again, &second));
    assert_string_equal(text, second);
    ex_dnn_plan_destroy(&again);
    assert_status(ex_dnn_plan_create(&again, handle, &other, 0, text), EX_ERR_UNSUPPORTED);
    assert_message("another graph");
    text[strlen(text) - 9] = '\0';
    assert_status(ex_dnn_plan_create(&again, handle, &g, 0, text), EX_ERR_UNSUPPORTED);
    assert_null(again);
    ex_free(&text);
    ex_free(&second);
    ex_dnn_plan_destroy(&plan);
    ex_dnn_handle_destroy(&handle);
}

/* Notes of the engine of a candidate, asked of cuDNN here and not by the code under test. */
static bool has_note(cudnnBackendDescriptor_t config, cudnnBackendNumericalNote_t wanted)
{
    cudnnBackendDescriptor_t engine;
    cudnnBackendNumericalNote_t note[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t count = 0;
    bool has = false;
    assert_int_equal(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine), 0);
    assert_int_equal(cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                              CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine),
                     0);
    assert_int_equal(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                              CUDNN_TYPE_NUMERICAL_NOTE,
                                              CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, note),
                     0);
    for (int64_t i = 0; i < count; i++)
        has = has || note[i] == wanted;
    cudnnBackendDestroyDescriptor(engine);
    return has;
}

/* Of all candidates; and there are others that were left out, so that the test can fail. */
static void test_candidates_keep_the_graphs_promises(void **state)
{
    (void)state;
    static const ex_graph_op_kind KINDS[] = {EX_GRAPH_CONV_FWD, EX_GRAPH_CONV_DGRAD,
                                             EX_GRAPH_CONV_WGRAD};
    ex_dnn_handle *handle = open_gpu();
    for (int i = 0; i < 9; i++) {
        static const ex_precision PRECISIONS[] = {EX_FP32, EX_TF32, EX_BF16};
        const ex_precision precision = PRECISIONS[i / 3];
        ex_dnn_graph g = small_conv(KINDS[i % 3], precision);
        int count;
        g.direct = true;
        for (int t = 0; t < 3; t++)
            g.tensor[t].type = precision == EX_BF16 ? EX_GRAPH_BF16 : EX_GRAPH_F32;
        assert_ok(ex_dnn_plan_count(&count, handle, &g));
        assert_true(precision != EX_FP32 || handle->choices->found > count);
        for (int k = 0; k < count; k++) {
            const cudnnBackendDescriptor_t config = handle->choices->config[k];
            assert_false(has_note(config, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC));
            assert_false(has_note(config, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS));
            assert_false(has_note(config, CUDNN_NUMERICAL_NOTE_WINOGRAD));
            assert_false(has_note(config, CUDNN_NUMERICAL_NOTE_FFT));
            if (precision == EX_FP32)
                assert_false(has_note(config, CUDNN_NUMERICAL_NOTE_TENSOR_CORE));
        }
    }
    ex_dnn_handle_destroy(&handle);
}

static void test_a_graph_that_cudnn_cannot_run_is_unsupported(void **state)
{
    (void)state;
    ex_dnn_handle *handle = open_gpu();
    ex_dnn_graph g = small_conv(EX_GRAPH_CONV_FWD, EX_FP32);
    ex_dnn_plan *plan = NULL;
    int count = -1;
    g.tensor[1].type = EX_GRAPH_BF16; /* float maps, filters of another type */
    assert_status(ex_dnn_plan_count(&count, handle, &g), EX_ERR_UNSUPPORTED);
    assert_message("conv_fwd");
    assert_int_equal(count, 0);
    assert_status(ex_dnn_plan_create(&plan, handle, &g, 0, NULL), EX_ERR_UNSUPPORTED);
    assert_null(plan);
    ex_dnn_handle_destroy(&handle);
}

/* cuDNN takes the pointers; it is the run that needs a device. */
static void test_a_run_without_a_device_fails_as_it_starts(void **state)
{
    (void)state;
    static float memory[4][8 * 16 * 32 * 32]; /* addresses alone */
    void *data[] = {memory[0], memory[1], memory[2]};
    const ex_dnn_graph g = small_conv(EX_GRAPH_CONV_FWD, EX_FP32);
    ex_dnn_handle *handle = open_gpu();
    ex_dnn_plan *plan = NULL;
    assert_ok(ex_dnn_plan_create(&plan, handle, &g, 0, NULL));
    for (int i = 0; i < 3; i++) { /* the second time with the pointers of the first */
        data[2] = memory[2 + i / 2];
        assert_status(ex_dnn_plan_run(plan, data, memory[1]), EX_ERR_BACKEND);
        assert_message("cudnnBackendExecute");
    }
    ex_dnn_plan_destroy(&plan);
    ex_dnn_handle_destroy(&handle);
}

static void test_a_handle_without_a_device_is_refused(void **state)
{
    (void)state;
    ex_dnn_handle *handle = NULL;
    if (ex_dnn_handle_create(&handle, NULL) == EX_OK) {
        ex_dnn_handle_destroy(&handle);
        skip(); /* there is one */
    }
    assert_message("cudnnCreate");
    assert_null(handle);
}

static void test_a_gpu_that_is_not_described_is_refused(void **state)
{
    (void)state;
    ex_dnn_handle *handle = NULL;
    assert_status(ex_dnn_handle_create_deviceless(&handle, "{}"), EX_ERR_BACKEND);
    assert_message("deviceName");
    assert_null(handle);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_plan_is_made_again_from_its_text),
        cmocka_unit_test(test_candidates_keep_the_graphs_promises),
        cmocka_unit_test(test_a_graph_that_cudnn_cannot_run_is_unsupported),
        cmocka_unit_test(test_a_run_without_a_device_fails_as_it_starts),
        cmocka_unit_test(test_a_handle_without_a_device_is_refused),
        cmocka_unit_test(test_a_gpu_that_is_not_described_is_refused),
        cmocka_unit_test(test_ten_clients_side_by_side_are_grouped_convolutions),
        cmocka_unit_test(test_every_graph_of_the_models_has_a_plan),
    };
    if (argc < 2) {
        fprintf(stderr, "usage: %s GPU.json [report]\n", argv[0]);
        return 2;
    }
    if (getenv("EXCISE_TEST_BATCHES"))
        cmocka_set_test_filter("test_every_graph_of_the_models_has_a_plan");
    gpu_file = argv[1];
    only_report = argc > 2;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
