/* The library, emulated or on a GPU (EX_TEST_MIRRORED), on the graphs that nodes are computed by
 * beside convolutions (node_graph.h): norms with residual and ReLU, pools, forward and backward,
 * against the references of the kernels that do the same. */
#include "graph_fixture.h"

#include "base/memory.h"
#include "cuda/node_graph.h"
#include "model/model.h"
#include "reference.h"

#if defined(EX_TEST_MIRRORED)
#include "mirror.h"
#endif

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 3, C = 8, H = 4, W = 6, MAP = N * C * H * W }; /* cuDNN's norms want channels by eights */

#if defined(EX_TEST_MIRRORED) /* cuDNN has pools by engines alone that may round for tensor cores */
static const ex_precision POOLS_IN = EX_TF32;
static const double POOL_ERROR = 1e-3;
#else
static const ex_precision POOLS_IN = EX_FP32;
static const double POOL_ERROR = 1e-6;
#endif

static const ex_map_shape SHAPE = {.N = N, .C = C, .H = H, .W = W, .block = C};

/* --- norms ------------------------------------------------------------------------------------ */

static ex_node norm_node(bool residual, bool relu)
{
    return (ex_node){.op = EX_OP_CONV,
                     .residual = residual ? 1 : -1,
                     .K = C,
                     .out_H = H,
                     .out_W = W,
                     .relu = relu};
}

static float *kept(const float *from, size_t n)
{
    float *to = malloc(n * sizeof *to);
    assert_non_null(to);
    memcpy(to, from, n * sizeof *to);
    return to;
}

static void check_forward(bool residual, bool relu, int candidate)
{
    const ex_node n = norm_node(residual, relu);
    const ex_dnn_graph g = ex_node_graph_norm(&n, N, EX_FP32);
    if (!ex_graph_run_exists(&g))
        skip();
    ex_graph_run r;
    float y[MAP], mean[C], var[C], unbiased[C], inverse[C];
    ex_graph_run_init(&r, &g);
    const ex_norm_train norm = {.shape = SHAPE,
                                .scale = r.data[EX_NORM_SCALE],
                                .shift = r.data[EX_NORM_SHIFT],
                                .mean = mean,
                                .var = var,
                                .eps = EX_NORM_EPS,
                                .relu = relu};
    ex_norm_train_fwd_ref(y, r.data[EX_NORM_X], residual ? r.data[EX_NORM_RESIDUAL] : NULL, &norm);
    for (int c = 0; c < C; c++) {
        const double count = N * H * W;
        unbiased[c] = (float)((double)var[c] * count / (count - 1.0));
        inverse[c] = (float)(1.0 / sqrt((double)var[c] + (double)EX_NORM_EPS));
    }
    ex_graph_run_candidate(&r, candidate);
    assert_close(ex_graph_run_floats(&r, EX_NORM_Y), y, MAP, 1e-5, 1e-5);
    assert_close(ex_graph_run_floats(&r, EX_NORM_MEAN), mean, C, 1e-6, 1e-6);
    assert_close(ex_graph_run_floats(&r, EX_NORM_MEAN_AGAIN), mean, C, 1e-6, 1e-6);
    assert_close(ex_graph_run_floats(&r, EX_NORM_INVERSE), inverse, C, 1e-6, 1e-6);
    assert_close(ex_graph_run_floats(&r, EX_NORM_VAR), unbiased, C, 1e-6, 1e-6);
    ex_graph_run_close(&r);
}

static void test_norm_forward_is_its_reference(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++)
        check_forward(i & 1, i & 2, i & 4 ? 2 : 0);
}

/* What is asked for beside the batch changes nothing, unless it is not finite. */
static void test_old_statistics_change_nothing_while_finite(void **state)
{
    (void)state;
    const ex_node n = norm_node(false, true);
    const ex_dnn_graph g = ex_node_graph_norm(&n, N, EX_FP32);
    if (!ex_graph_run_exists(&g))
        skip();
    ex_graph_run r;
    ex_graph_run_init(&r, &g);
    ex_graph_run_candidate(&r, 0);
    float *const var = kept(ex_graph_run_floats(&r, EX_NORM_VAR), C);
    for (int c = 0; c < C; c++)
        ex_graph_run_floats(&r, EX_NORM_B)[c] = 1e6f * (float)(c + 1);
    ex_graph_run_candidate(&r, 0);
    assert_memory_equal(ex_graph_run_floats(&r, EX_NORM_VAR), var, C * sizeof *var);
    ex_graph_run_floats(&r, EX_NORM_B)[1] = NAN;
    ex_graph_run_candidate(&r, 0);
    assert_true(isnan(ex_graph_run_floats(&r, EX_NORM_VAR)[1]) != 0);
    assert_true(ex_graph_run_floats(&r, EX_NORM_VAR)[2] == var[2]);
    free(var);
    ex_graph_run_close(&r);
}

/* Statistics of x, as the forward pass leaves them. */
static void set_statistics(ex_graph_run *r, float *mean, float *var)
{
    float y[MAP];
    const float zero[C] = {0};
    const ex_norm_train norm = {
        .shape = SHAPE, .scale = zero, .shift = zero, .mean = mean, .var = var, .eps = EX_NORM_EPS};
    ex_norm_train_fwd_ref(y, r->data[EX_NORM_BWD_X], NULL, &norm);
    for (int c = 0; c < C; c++) {
        ex_graph_run_floats(r, EX_NORM_BWD_MEAN)[c] = mean[c];
        ex_graph_run_floats(r, EX_NORM_BWD_INVERSE)[c] =
            (float)(1.0 / sqrt((double)var[c] + (double)EX_NORM_EPS));
    }
}

static void check_backward(bool relu, bool second, int candidate)
{
    const ex_node n = norm_node(relu, relu); /* y is given, as where there is a residual */
    const ex_dnn_graph g = ex_node_graph_norm_backward(&n, N, EX_FP32, second);
    if (!ex_graph_run_exists(&g))
        skip();
    ex_graph_run r;
    float dx[MAP], dscale[C], dshift[C], mean[C], var[C];
    ex_graph_run_init(&r, &g);
    set_statistics(&r, mean, var);
    float *const gated = kept(r.data[EX_NORM_BWD_G1], MAP);
    const ex_norm_train norm = {.shape = SHAPE,
                                .scale = r.data[EX_NORM_BWD_SCALE],
                                .shift = r.data[EX_NORM_BWD_SCALE], /* not read: y is given */
                                .mean = mean,
                                .var = var,
                                .eps = EX_NORM_EPS,
                                .relu = relu};
    const ex_norm_train_gradient gradient = {.dx = dx,
                                             .dscale = dscale,
                                             .dshift = dshift,
                                             .g1 = gated,
                                             .g2 = second ? r.data[EX_NORM_BWD_G2] : NULL,
                                             .x = r.data[EX_NORM_BWD_X],
                                             .y = relu ? r.data[EX_NORM_BWD_Y] : NULL,
                                             .keep = 1};
    if (relu)
        ex_graph_run_floats(&r, EX_NORM_BWD_Y)[7] = 0.0f;
    ex_norm_train_bwd_ref(&gradient, &norm);
    ex_graph_run_candidate(&r, candidate);
    assert_close(ex_graph_run_floats(&r, EX_NORM_BWD_DX), dx, MAP, 1e-5, 1e-5);
    assert_close(ex_graph_run_floats(&r, EX_NORM_BWD_DSCALE), dscale, C, 1e-5, 1e-5);
    assert_close(ex_graph_run_floats(&r, EX_NORM_BWD_DSHIFT), dshift, C, 1e-5, 1e-5);
    if (relu)
        assert_close(ex_graph_run_floats(&r, EX_NORM_BWD_GATED), gated, MAP, 1e-6, 1e-6);
    free(gated);
    ex_graph_run_close(&r);
}

static void test_norm_backward_is_its_reference(void **state)
{
    (void)state;
    for (int candidate = 0; candidate < 3; candidate += 2) {
        check_backward(false, false, candidate);
        check_backward(true, false, candidate);
        check_backward(true, true, candidate);
    }
}

/* --- pools ------------------------------------------------------------------------------------ */

/* Windows side by side, overlapping ones with padding, and the whole map. */
static const ex_pool_shape POOLS[] = {
    {SHAPE, 2, 3, 2, 2, 2, 0}, {SHAPE, 2, 3, 3, 3, 2, 1}, {SHAPE, 1, 3, 4, 2, 2, 0}};
enum { POOL_COUNT = sizeof POOLS / sizeof *POOLS };

static ex_node pool_node(const ex_pool_shape *p, ex_op op)
{
    return (ex_node){.op = op,
                     .residual = -1,
                     .C = C,
                     .H = H,
                     .W = W,
                     .K = C,
                     .out_H = p->out_H,
                     .out_W = p->out_W,
                     .R = p->R,
                     .S = p->S,
                     .stride = p->stride,
                     .pad = p->pad};
}

static void check_max(const ex_pool_shape *p)
{
    const ex_node n = pool_node(p, EX_OP_MAXPOOL);
    const ex_dnn_graph f = ex_node_graph_pool(&n, N, POOLS_IN, false);
    const ex_dnn_graph b = ex_node_graph_pool(&n, N, POOLS_IN, true);
    const size_t outputs = ex_graph_tensor_elements(&f.tensor[EX_POOL_OUT]);
    ex_graph_run forward, backward;
    float y[MAP], dx[MAP];
    int8_t index[MAP];
    ex_graph_run_init(&forward, &f);
    ex_graph_run_init(&backward, &b);
    ex_graph_run_floats(&forward, EX_POOL_IN)[11] = NAN;
    ex_maxpool_fwd_ref(y, index, forward.data[EX_POOL_IN], p);
    ex_maxpool_bwd_ref(dx, backward.data[EX_POOL_IN], index, p);
    ex_graph_run_candidate(&forward, 0);
    memcpy(backward.data[EX_POOL_INDEX], forward.data[EX_POOL_INDEX], outputs);
    ex_graph_run_candidate(&backward, 2);
    assert_close(ex_graph_run_floats(&forward, EX_POOL_OUT), y, outputs, POOL_ERROR, 0.0);
    assert_close(ex_graph_run_floats(&backward, EX_POOL_OUT), dx, MAP, POOL_ERROR, POOL_ERROR);
    ex_graph_run_close(&forward);
    ex_graph_run_close(&backward);
}

static void check_mean(const ex_pool_shape *p)
{
    const ex_node n = pool_node(p, EX_OP_AVGPOOL);
    const ex_dnn_graph f = ex_node_graph_pool(&n, N, POOLS_IN, false);
    const ex_dnn_graph b = ex_node_graph_pool(&n, N, POOLS_IN, true);
    ex_graph_run forward, backward;
    float y[MAP], dx[MAP];
    ex_graph_run_init(&forward, &f);
    ex_graph_run_init(&backward, &b);
    ex_avgpool_fwd_ref(y, forward.data[EX_POOL_IN], p);
    ex_avgpool_bwd_ref(dx, backward.data[EX_POOL_IN], p);
    ex_graph_run_candidate(&forward, 0);
    ex_graph_run_candidate(&backward, 0);
    assert_close(ex_graph_run_floats(&forward, EX_POOL_OUT), y,
                 ex_graph_tensor_elements(&f.tensor[EX_POOL_OUT]), POOL_ERROR, POOL_ERROR);
    assert_close(ex_graph_run_floats(&backward, EX_POOL_OUT), dx, MAP, POOL_ERROR, POOL_ERROR);
    ex_graph_run_close(&forward);
    ex_graph_run_close(&backward);
}

static void test_pools_are_their_references(void **state)
{
    (void)state;
    for (int i = 0; i < POOL_COUNT; i++) {
        check_max(&POOLS[i]);
        if (POOLS[i].pad == 0)
            check_mean(&POOLS[i]);
    }
}

/* --- graphs ----------------------------------------------------------------------------------- */

/* Each tensor in turn of another shape or type. */
static void test_tensors_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    const ex_node norm = norm_node(true, true), pool = pool_node(&POOLS[0], EX_OP_MAXPOOL);
    const ex_dnn_graph graphs[] = {
        ex_node_graph_norm(&norm, N, EX_BF16), ex_node_graph_norm_backward(&norm, N, EX_BF16, true),
        ex_node_graph_pool(&pool, N, EX_BF16, false), ex_node_graph_pool(&pool, N, EX_BF16, true)};
    for (int i = 0; i < 4; i++) {
        assert_ok(ex_dnn_graph_check(&graphs[i]));
        for (int t = 0; t < graphs[i].tensor_count; t++) {
            ex_dnn_graph g = graphs[i];
            g.tensor[t].dim[1]++;
            assert_status(ex_dnn_graph_check(&g), EX_ERR_INTERNAL);
            g = graphs[i];
            if (g.tensor[t].type == EX_GRAPH_BF16 || g.tensor[t].is_virtual)
                continue;
            g.tensor[t].type = EX_GRAPH_BF16; /* of a vector, of an index */
            assert_status(ex_dnn_graph_check(&g), EX_ERR_INTERNAL);
        }
    }
}

int main(void)
{
#if defined(EX_TEST_MIRRORED)
    if (!mirror_open())
        return 77;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm_forward_is_its_reference),
        cmocka_unit_test(test_old_statistics_change_nothing_while_finite),
        cmocka_unit_test(test_norm_backward_is_its_reference),
        cmocka_unit_test(test_pools_are_their_references),
        cmocka_unit_test(test_tensors_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
