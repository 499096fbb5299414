/* The operations of dnn_graph.h, of the emulated library, and of cuDNN on a GPU (EX_TEST_MIRRORED):
 * forward ones against their definition, backward ones by the identities that make them adjoint. */
#include "graph_fixture.h"

#include "base/memory.h"

#if defined(EX_TEST_MIRRORED)
#include "mirror.h"
#endif

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct window {
    int N, C, H, W, K, R, S, stride, pad, groups;
} window;

static const window WINDOWS[] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 0, 1}, {2, 3, 7, 5, 4, 3, 3, 1, 1, 1}, {2, 5, 8, 8, 6, 3, 3, 2, 1, 1},
    {1, 4, 6, 6, 7, 1, 1, 2, 0, 1}, {2, 2, 5, 9, 3, 5, 3, 1, 0, 1}, {1, 3, 5, 5, 2, 3, 3, 3, 2, 1},
    {2, 6, 5, 7, 9, 3, 3, 1, 1, 3}, {1, 4, 6, 6, 4, 3, 3, 2, 1, 4}, {2, 4, 3, 5, 6, 1, 1, 1, 0, 2},
};
enum { WINDOW_COUNT = sizeof WINDOWS / sizeof *WINDOWS };

static int outputs(int size, int R, const window *s)
{
    return (size + 2 * s->pad - R) / s->stride + 1;
}

static int tensor(ex_dnn_graph *g, int a, int b, int c, int d)
{
    return ex_dnn_graph_tensor(g, (const int[]){a, b, c, d}, EX_GRAPH_F32, false);
}

static int like(ex_dnn_graph *g, int other, bool is_virtual)
{
    return ex_dnn_graph_tensor(g, g->tensor[other].dim, EX_GRAPH_F32, is_virtual);
}

static void op(ex_dnn_graph *g, ex_graph_op_kind kind, const window *s, int a, int b, int out)
{
    ex_graph_op o = {.kind = kind, .in = {a, b}, .out = {out}};
    if (s) {
        o.R = s->R;
        o.S = s->S;
        o.stride = s->stride;
        o.pad = s->pad;
    }
    ex_dnn_graph_op(g, o);
}

/* Tensors 0, 1, 2: x, w, y of a convolution. */
static void conv_tensors(ex_dnn_graph *g, const window *s)
{
    *g = (ex_dnn_graph){.precision = EX_FP32};
    tensor(g, s->N, s->C, s->H, s->W);
    tensor(g, s->K, s->C / s->groups, s->R, s->S);
    tensor(g, s->N, s->K, outputs(s->H, s->R, s), outputs(s->W, s->S, s));
}

/* The definition, for one value of the output. */
static double conv_at(const window *s, const float *x, const float *w, int n, int p, int q, int k)
{
    const int C = s->C / s->groups, group = k / (s->K / s->groups);
    double sum = 0.0;
    for (int r = 0; r < s->R; r++)
        for (int t = 0; t < s->S; t++)
            for (int c = 0; c < C; c++) {
                const int h = p * s->stride - s->pad + r, v = q * s->stride - s->pad + t;
                if (h < 0 || h >= s->H || v < 0 || v >= s->W)
                    continue;
                sum += (double)x[((n * s->H + h) * s->W + v) * s->C + group * C + c] *
                       (double)w[((k * s->R + r) * s->S + t) * C + c];
            }
    return sum;
}

static float *conv_expected(const window *s, const float *x, const float *w)
{
    const int P = outputs(s->H, s->R, s), Q = outputs(s->W, s->S, s);
    float *y = malloc((size_t)(s->N * P * Q * s->K) * sizeof *y), *next = y;
    assert_non_null(y);
    for (int n = 0; n < s->N; n++)
        for (int p = 0; p < P; p++)
            for (int q = 0; q < Q; q++)
                for (int k = 0; k < s->K; k++)
                    *next++ = (float)conv_at(s, x, w, n, p, q, k);
    return y;
}

static void test_convolution_is_its_definition(void **state)
{
    (void)state;
    for (int i = 0; i < WINDOW_COUNT; i++)
        for (int candidate = 0; candidate < 3; candidate += 2) {
            ex_dnn_graph g;
            ex_graph_run r;
            conv_tensors(&g, &WINDOWS[i]);
            op(&g, EX_GRAPH_CONV_FWD, &WINDOWS[i], 0, 1, 2);
            ex_graph_run_init(&r, &g);
            ex_graph_run_candidate(&r, candidate);
            float *expected = conv_expected(&WINDOWS[i], r.data[0], r.data[1]);
            assert_close(ex_graph_run_floats(&r, 2), expected,
                         ex_graph_tensor_elements(&g.tensor[2]), 1e-5, 1e-5);
            free(expected);
            ex_graph_run_close(&r);
        }
}

/* <dy, conv(x, w)> = <dgrad(dy, w), x> = <wgrad(dy, x), w>, for random dy, x, w. */
static void test_convolution_gradients_are_adjoint(void **state)
{
    (void)state;
    for (int i = 0; i < WINDOW_COUNT; i++)
        for (int candidate = 0; candidate < 3; candidate += 2) {
            const window *s = &WINDOWS[i];
            ex_dnn_graph g;
            ex_graph_run r;
            conv_tensors(&g, s);
            const int dy = like(&g, 2, false);
            const int dx = like(&g, 0, false);
            const int dw = like(&g, 1, false);
            op(&g, EX_GRAPH_CONV_FWD, s, 0, 1, 2);
            op(&g, EX_GRAPH_CONV_DGRAD, s, dy, 1, dx);
            op(&g, EX_GRAPH_CONV_WGRAD, s, dy, 0, dw);
            ex_graph_run_init(&r, &g);
            ex_graph_run_candidate(&r, candidate);
            const double product = ex_graph_run_dot(&r, dy, 2);
            assert_true(fabs(ex_graph_run_dot(&r, dx, 0) - product) < 1e-4);
            assert_true(fabs(ex_graph_run_dot(&r, dw, 1) - product) < 1e-4);
            ex_graph_run_close(&r);
        }
}

static void test_fused_evaluation_passes_virtual_tensors(void **state)
{
    (void)state;
    const window *s = &WINDOWS[1];
    ex_dnn_graph g = {.precision = EX_FP32};
    ex_graph_run r;
    const int x = tensor(&g, s->N, s->C, s->H, s->W), w = tensor(&g, s->K, s->C, s->R, s->S);
    const int b = tensor(&g, 1, s->K, 1, 1), other = tensor(&g, s->N, s->K, s->H, s->W);
    const int conv = like(&g, other, true), sum = like(&g, other, true);
    const int both = like(&g, other, true), y = like(&g, other, false);
    op(&g, EX_GRAPH_CONV_FWD, s, x, w, conv);
    op(&g, EX_GRAPH_BIAS, NULL, conv, b, sum);
    op(&g, EX_GRAPH_ADD, NULL, sum, other, both);
    op(&g, EX_GRAPH_RELU, NULL, both, -1, y);
    ex_graph_run_init(&r, &g);
    ex_graph_run_floats(&r, other)[3] = NAN;
    ex_graph_run_candidate(&r, 0);
    float *expected = conv_expected(s, r.data[x], r.data[w]);
    const size_t n = ex_graph_tensor_elements(&g.tensor[y]);
    for (size_t i = 0; i < n; i++) {
        const float value = expected[i] + ex_graph_run_floats(&r, b)[i % (size_t)s->K] +
                            ex_graph_run_floats(&r, other)[i];
        expected[i] = value < 0.0f ? 0.0f : value;
    }
    assert_true(isnan(expected[3]) != 0);
    assert_close(ex_graph_run_floats(&r, y), expected, n, 1e-5, 1e-5);
    free(expected);
    ex_graph_run_close(&r);
}

#if !defined(EX_TEST_MIRRORED)
static void test_a_candidate_is_made_again_from_its_text(void **state)
{
    (void)state;
    ex_dnn_graph g, other;
    ex_dnn_handle *handle = NULL;
    ex_dnn_plan *plan = NULL, *again = NULL;
    char *text = NULL, *second = NULL;
    int count = 0;
    conv_tensors(&g, &WINDOWS[1]);
    op(&g, EX_GRAPH_CONV_FWD, &WINDOWS[1], 0, 1, 2);
    conv_tensors(&other, &WINDOWS[2]);
    op(&other, EX_GRAPH_CONV_FWD, &WINDOWS[2], 0, 1, 2);
    assert_ok(ex_dnn_handle_create(&handle, NULL));
    assert_ok(ex_dnn_plan_count(&count, handle, &g));
    assert_int_equal(count, 3);
    assert_status(ex_dnn_plan_create(&plan, handle, &g, 1, NULL), EX_ERR_UNSUPPORTED);
    assert_ok(ex_dnn_plan_create(&plan, handle, &g, 2, NULL));
    assert_ok(ex_dnn_plan_store(plan, &text));
    assert_ok(ex_dnn_plan_create(&again, handle, &g, 0, text));
    assert_ok(ex_dnn_plan_store(again, &second));
    assert_string_equal(text, second);
    assert_int_equal(ex_dnn_plan_workspace(plan), ex_dnn_plan_workspace(again));
    ex_dnn_plan_destroy(&again);
    assert_status(ex_dnn_plan_create(&again, handle, &other, 0, text), EX_ERR_UNSUPPORTED);
    assert_null(again);
    ex_free(&text);
    ex_free(&second);
    ex_dnn_plan_destroy(&plan);
    ex_dnn_handle_destroy(&handle);
}
#endif

static void test_tensors_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    ex_dnn_graph g;
    conv_tensors(&g, &WINDOWS[1]);
    op(&g, EX_GRAPH_CONV_FWD, &WINDOWS[1], 0, 1, 2);
    assert_ok(ex_dnn_graph_check(&g));
    g.tensor[2].dim[2]++;
    assert_status(ex_dnn_graph_check(&g), EX_ERR_INTERNAL);
    assert_message("operation 0");
    g.tensor[2].dim[2]--;
    g.tensor[0].is_virtual = true; /* read before it is written */
    assert_status(ex_dnn_graph_check(&g), EX_ERR_INTERNAL);
    g.tensor[0].is_virtual = false;
    g.op[0].in[1] = 3;
    assert_status(ex_dnn_graph_check(&g), EX_ERR_INTERNAL);
}

static void test_the_description_tells_graphs_apart(void **state)
{
    (void)state;
    char text[2 * WINDOW_COUNT][EX_GRAPH_TEXT];
    for (int i = 0; i < 2 * WINDOW_COUNT; i++) {
        ex_dnn_graph g;
        conv_tensors(&g, &WINDOWS[i / 2]);
        op(&g, EX_GRAPH_CONV_FWD, &WINDOWS[i / 2], 0, 1, 2);
        g.precision = i % 2 ? EX_TF32 : EX_FP32;
        ex_dnn_graph_describe(&g, text[i], sizeof text[i]);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(text[i], text[j]);
    }
    assert_string_equal(text[2], "fp32 0:f32[2,3,7,5] 1:f32[4,3,3,3] 2:f32[2,4,7,5]; "
                                 "conv_fwd 0 1 > 2 3x3/1+1");
}

int main(void)
{
#if defined(EX_TEST_MIRRORED)
    if (!mirror_open())
        return 77;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolution_is_its_definition),
        cmocka_unit_test(test_convolution_gradients_are_adjoint),
        cmocka_unit_test(test_fused_evaluation_passes_virtual_tensors),
#if !defined(EX_TEST_MIRRORED)
        cmocka_unit_test(test_a_candidate_is_made_again_from_its_text),
#endif
        cmocka_unit_test(test_tensors_that_do_not_fit_are_refused),
        cmocka_unit_test(test_the_description_tells_graphs_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
