/* How much accuracy Winograd's transform costs: 3 x 3 convolutions of the models, in all three
 * passes, against sums in float64. What training may use must stay within the bounds below, or the
 * algorithms that are timed fastest would change what a model learns, and not only when. */
#include "base/memory.h"
#include "base/rng.h"
#include "cpu/dnnl_adapter.h"
#include "test.h"

#include <math.h>
#include <stdio.h>

enum { N = 2, R = 3, BLOCK = 16 };

typedef struct layer {
    int C, K, side;
} layer;

/* Of resnet20 and vgg11; the deeper, the longer the sums. */
static const layer layers[] = {{16, 16, 32},  {32, 32, 16},  {64, 64, 8},
                               {64, 128, 16}, {256, 256, 8}, {512, 512, 2}};

/* Maps in blocks of 16 channels; filters and their gradient K,C,R,S and K,R,S,C. */
typedef struct tensors {
    layer l;
    float *x, *dy, *w;
    double *y, *dx, *dw;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
} tensors;

static size_t map_count(int channels, int side)
{
    return (size_t)N * (size_t)channels * (size_t)side * (size_t)side;
}

static size_t filter_count(const layer *l)
{
    return (size_t)l->K * R * R * (size_t)l->C;
}

static size_t place(const layer *l, int channels, int n, int c, int h, int v)
{
    const size_t pixels = (size_t)l->side * (size_t)l->side, pixel = (size_t)(h * l->side + v);
    return ((size_t)n * (size_t)(channels / BLOCK) + (size_t)(c / BLOCK)) * pixels * BLOCK +
           pixel * BLOCK + (size_t)(c % BLOCK);
}

/* --- the reference ---------------------------------------------------------------------------- */

/* The products of one value of a filter, added to all three results. */
static void add_products(tensors *t, int n, int k, int c, int r, int s)
{
    const layer *l = &t->l;
    const double w = t->w[((size_t)(k * l->C + c) * R + (size_t)r) * R + (size_t)s];
    double sum = 0.0;
    for (int h = 0; h < l->side; h++) {
        for (int v = 0; v < l->side; v++) {
            const int from_h = h + r - 1, from_v = v + s - 1;
            if (from_h < 0 || from_v < 0 || from_h >= l->side || from_v >= l->side)
                continue;
            const size_t in = place(l, l->C, n, c, from_h, from_v),
                         out = place(l, l->K, n, k, h, v);
            t->y[out] += w * (double)t->x[in];
            t->dx[in] += w * (double)t->dy[out];
            sum += (double)t->x[in] * (double)t->dy[out];
        }
    }
    t->dw[((size_t)(k * R + r) * R + (size_t)s) * (size_t)l->C + (size_t)c] += sum;
}

static void make_reference(tensors *t)
{
    for (int n = 0; n < N; n++)
        for (int k = 0; k < t->l.K; k++)
            for (int c = 0; c < t->l.C; c++)
                for (int i = 0; i < R * R; i++)
                    add_products(t, n, k, c, i / R, i % R);
}

/* --- tensors ---------------------------------------------------------------------------------- */

/* Normal numbers; of maps behind a ReLU, half of them 0. */
static float *draw(size_t count, uint32_t which, bool relu)
{
    ex_rng rng = ex_rng_at((ex_rng_key){.seed = 5, .use = EX_RNG_TEST, .client = which});
    float *values;
    assert_ok(ex_alloc(&values, count, sizeof *values, "values"));
    for (size_t i = 0; i < count; i++) {
        const float value = (float)ex_rng_normal(&rng);
        values[i] = relu && value < 0.0f ? 0.0f : value;
    }
    return values;
}

static double *zeros(size_t count)
{
    double *values;
    assert_ok(ex_alloc(&values, count, sizeof *values, "values"));
    return values;
}

static void open_tensors(tensors *t, const layer *l)
{
    const size_t in = map_count(l->C, l->side), out = map_count(l->K, l->side),
                 filter = filter_count(l);
    *t = (tensors){.l = *l,
                   .x = draw(in, 1, true),
                   .dy = draw(out, 2, false),
                   .w = draw(filter, 3, false),
                   .y = zeros(out),
                   .dx = zeros(in),
                   .dw = zeros(filter)};
    assert_ok(EX_DNN(dnnl_engine_create(&t->engine, dnnl_cpu, 0)));
    assert_ok(EX_DNN(dnnl_stream_create(&t->stream, t->engine, dnnl_stream_default_flags)));
    make_reference(t);
}

static void close_tensors(tensors *t)
{
    dnnl_stream_destroy(t->stream);
    dnnl_engine_destroy(t->engine);
    ex_free(&t->x);
    ex_free(&t->dy);
    ex_free(&t->w);
    ex_free(&t->y);
    ex_free(&t->dx);
    ex_free(&t->dw);
}

/* --- oneDNN ----------------------------------------------------------------------------------- */

typedef struct arguments {
    dnnl_exec_arg_t list[4];
    int count;
} arguments;

/* Memory of the op's own size for its argument `arg`; or `data`, where it is given. */
static float *add_argument(arguments *a, const tensors *t, const ex_dnn_op *op, int arg,
                           float *data)
{
    const size_t bytes = ex_dnn_op_bytes(op, arg);
    dnnl_exec_arg_t *new = &a->list[a->count++];
    new->arg = arg;
    assert_ok(ex_dnn_op_memory(&new->memory, op, arg, t->engine));
    if (!data)
        assert_ok(ex_alloc(&data, bytes + 1, 1, "memory of a trial"));
    assert_ok(EX_DNN(dnnl_memory_set_data_handle(new->memory, data)));
    return data;
}

static void run(const tensors *t, const ex_dnn_op *op, arguments *a)
{
    assert_ok(EX_DNN(dnnl_primitive_execute(op->primitive, t->stream, a->count, a->list)));
    assert_ok(EX_DNN(dnnl_stream_wait(t->stream)));
    for (int i = 0; i < a->count; i++)
        dnnl_memory_destroy(a->list[i].memory);
    *a = (arguments){0};
}

/* `reorder` run from -> to; where it has nothing to do, `from` is returned as it is. */
static float *reordered(const tensors *t, ex_dnn_op *reorder, float *from)
{
    arguments a = {0};
    float *to = from;
    if (reorder->primitive) {
        add_argument(&a, t, reorder, DNNL_ARG_FROM, from);
        to = add_argument(&a, t, reorder, DNNL_ARG_TO, NULL);
        float *scratch = add_argument(&a, t, reorder, DNNL_ARG_SCRATCHPAD, NULL);
        run(t, reorder, &a);
        ex_free(&scratch);
    }
    ex_dnn_op_destroy(reorder);
    return to;
}

/* rms of result - expected over the rms of expected. */
static double relative(const float *result, const double *expected, size_t count)
{
    double error = 0.0, size = 0.0;
    for (size_t i = 0; i < count; i++) {
        error += ((double)result[i] - expected[i]) * ((double)result[i] - expected[i]);
        size += expected[i] * expected[i];
    }
    return sqrt(error / size);
}

static double forward_error(const tensors *t, const ex_dnn_op *op, bool data)
{
    arguments a = {0};
    ex_dnn_op reorder;
    const ex_dnn_filter f = {.K = t->l.K, .C = t->l.C, .R = R, .S = R, .plain = true};
    assert_ok(ex_dnn_filter_in(&reorder, t->engine, op, DNNL_ARG_WEIGHTS, &f));
    float *w = reordered(t, &reorder, t->w);
    add_argument(&a, t, op, DNNL_ARG_WEIGHTS, w);
    add_argument(&a, t, op, data ? DNNL_ARG_DIFF_DST : DNNL_ARG_SRC, data ? t->dy : t->x);
    float *out = add_argument(&a, t, op, data ? DNNL_ARG_DIFF_SRC : DNNL_ARG_DST, NULL);
    float *scratch = add_argument(&a, t, op, DNNL_ARG_SCRATCHPAD, NULL);
    run(t, op, &a);
    const double error = data ? relative(out, t->dx, map_count(t->l.C, t->l.side))
                              : relative(out, t->y, map_count(t->l.K, t->l.side));
    if (w != t->w)
        ex_free(&w);
    ex_free(&out);
    ex_free(&scratch);
    return error;
}

static double weights_error(const tensors *t, const ex_dnn_op *op)
{
    arguments a = {0};
    ex_dnn_op reorder;
    const ex_dnn_filter f = {.K = t->l.K, .C = t->l.C, .R = R, .S = R};
    add_argument(&a, t, op, DNNL_ARG_SRC, t->x);
    add_argument(&a, t, op, DNNL_ARG_DIFF_DST, t->dy);
    float *out = add_argument(&a, t, op, DNNL_ARG_DIFF_WEIGHTS, NULL);
    float *scratch = add_argument(&a, t, op, DNNL_ARG_SCRATCHPAD, NULL);
    run(t, op, &a);
    assert_ok(ex_dnn_filter_out(&reorder, t->engine, op, DNNL_ARG_DIFF_WEIGHTS, &f));
    float *dw = reordered(t, &reorder, out);
    const double error = relative(dw, t->dw, filter_count(&t->l));
    if (dw != out)
        ex_free(&dw);
    ex_free(&out);
    ex_free(&scratch);
    return error;
}

/* --- tests ------------------------------------------------------------------------------------ */

/* < 0 where oneDNN has no such convolution. */
static double error_of(const tensors *t, ex_dnn_algorithm algorithm, ex_dnn_pass pass)
{
    const int side = t->l.side;
    ex_dnn_op op;
    const ex_dnn_conv c = {.pass = pass,
                           .algorithm = algorithm,
                           .N = N,
                           .C = t->l.C,
                           .K = t->l.K,
                           .window = {.H = side,
                                      .W = side,
                                      .out_H = side,
                                      .out_W = side,
                                      .R = R,
                                      .S = R,
                                      .stride = 1,
                                      .pad = 1},
                           .src_block = BLOCK,
                           .dst_block = BLOCK};
    const ex_status status = ex_dnn_conv_create(&op, t->engine, &c);
    if (status == EX_ERR_UNSUPPORTED && algorithm == EX_DNN_WINOGRAD)
        return -1.0;
    assert_ok(status);
    const double error = pass == EX_DNN_BACKWARD_WEIGHTS
                             ? weights_error(t, &op)
                             : forward_error(t, &op, pass == EX_DNN_BACKWARD_DATA);
    ex_dnn_op_destroy(&op);
    return error;
}

/* A direct sum keeps float32's accuracy, and Winograd at most some tens of units less. */
static void test_all_passes_keep_their_accuracy(void **state)
{
    static const char *const passes[] = {"forward", "eval", "data", "weights"};
    static const double bound[] = {[EX_DNN_DIRECT] = 1e-6, [EX_DNN_WINOGRAD] = 5e-6};
    int tried = 0;
    (void)state;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        tensors t;
        open_tensors(&t, &layers[i]);
        for (int pass = EX_DNN_FORWARD_TRAIN; pass <= EX_DNN_BACKWARD_WEIGHTS; pass++) {
            for (int a = EX_DNN_DIRECT; a <= EX_DNN_WINOGRAD; a += EX_DNN_WINOGRAD) {
                const double error = error_of(&t, (ex_dnn_algorithm)a, (ex_dnn_pass)pass);
                print_message("%3d -> %3d at %2d x %2d, %-8s %-8s rms of the error %.1e\n", t.l.C,
                              t.l.K, t.l.side, t.l.side, passes[pass],
                              a == EX_DNN_DIRECT ? "direct" : "winograd", error);
                tried += error >= 0.0 && a == EX_DNN_WINOGRAD;
                if (error > bound[a])
                    fail_msg("the error is above %.0e", bound[a]);
            }
        }
        close_tensors(&t);
    }
    if (tried == 0)
        skip(); /* an instruction set without it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_passes_keep_their_accuracy)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
