/* The table of kernels that the emulated back end calls: the CUDA instance, with what each
 * operation costs said to the emulated device first. Floating-point operations of convolutions
 * alone, 2 a multiply-add; bytes of maps and filters as the kernels read and write them, each
 * access of a pass over them once. The optimizer is not counted: its segments are the device's. */
#include "device/device.h"
#include "table_cuda.h"

static double element(ex_map_type type)
{
    return type == EX_MAP_BF16 ? 2.0 : 4.0;
}

static double map_bytes(const ex_map_shape *m)
{
    return element(m->type) * m->N * m->C * m->H * m->W;
}

static double pool_values(const ex_pool_shape *p)
{
    return 1.0 * p->in.N * p->in.C * p->out_H * p->out_W;
}

static double pool_bytes(const ex_pool_shape *p)
{
    return element(p->in.type) * pool_values(p);
}

static double half_bytes(const ex_map_shape *in, int K, int stride)
{
    const int H = (in->H + stride - 1) / stride, W = (in->W + stride - 1) / stride;
    return element(in->type) * in->N * K * H * W;
}

static double output_bytes(const ex_conv_shape *c)
{
    return element(c->in.type) * c->in.N * c->K * c->out_H * c->out_W;
}

static void batch_gather(void *out, const uint8_t *images, const uint32_t *index,
                         const ex_gather_shape *g, ex_stream s)
{
    const double pixels = (double)g->N * g->C;
    ex_emulated_cost(0, pixels * (element(g->type) * g->out_H * g->out_W + 1.0 * g->H * g->W));
    ex_kernels_cuda.batch_gather(out, images, index, g, s);
}

static void convert(void *out, ex_map_type out_type, const void *in, ex_map_type in_type, size_t n,
                    ex_stream s)
{
    ex_emulated_cost(0, (element(out_type) + element(in_type)) * (double)n);
    ex_kernels_cuda.convert(out, out_type, in, in_type, n, s);
}

static void softmax_xent(float *dlogits, float *loss, int32_t *predicted, const float *logits,
                         const uint16_t *label, int N, int K, float grad_scale, ex_stream s)
{
    ex_emulated_cost(0, (dlogits ? 8.0 : 4.0) * N * K);
    ex_kernels_cuda.softmax_xent(dlogits, loss, predicted, logits, label, N, K, grad_scale, s);
}

static void norm_fold(float *weight_out, float *bias_out, const float *weight, const float *bias,
                      const float *scale, const float *shift, const float *mean, const float *var,
                      float eps, const int32_t *channel, int channels, size_t row, ex_stream s)
{
    ex_emulated_cost(0, 8.0 * channels * (double)row);
    ex_kernels_cuda.norm_fold(weight_out, bias_out, weight, bias, scale, shift, mean, var, eps,
                              channel, channels, row, s);
}

/* Filters and their gradients are read, those written. */
static void norm_fold_bwd(const ex_norm_fold_gradient *g, const int32_t *channel, int channels,
                          ex_stream s)
{
    ex_emulated_cost(0, 12.0 * channels * (double)g->row);
    ex_kernels_cuda.norm_fold_bwd(g, channel, channels, s);
}

/* Statistics read the map, the second pass reads and writes it. */
static void norm_train_fwd(void *y, const void *x, const void *residual, const ex_norm_train *n,
                           ex_stream s)
{
    ex_emulated_cost(0, map_bytes(&n->shape) * (3 + (residual ? 1 : 0)));
    ex_kernels_cuda.norm_train_fwd(y, x, residual, n, s);
}

/* The sums read the gradients, x and y, and may write g; the second pass reads g and x, writes dx.
 */
static void norm_train_bwd(const ex_norm_train_gradient *g, const ex_norm_train *n, ex_stream s)
{
    const int sums = 2 + (g->g2 ? 1 : 0) + (g->y ? 1 : 0) + (g->keep ? 1 : 0);
    ex_emulated_cost(0, map_bytes(&n->shape) * (sums + 3));
    ex_kernels_cuda.norm_train_bwd(g, n, s);
}

static void add_relu_fwd(void *out, const void *a, const void *b, size_t n, ex_map_type type,
                         ex_stream s)
{
    ex_emulated_cost(0, element(type) * (double)n * (b ? 3 : 2));
    ex_kernels_cuda.add_relu_fwd(out, a, b, n, type, s);
}

static void add_relu_bwd(void *dx, const void *g1, const void *g2, const void *y, size_t n,
                         ex_map_type type, ex_stream s)
{
    ex_emulated_cost(0, element(type) * (double)n * (2 + (g2 ? 1 : 0) + (y ? 1 : 0)));
    ex_kernels_cuda.add_relu_bwd(dx, g1, g2, y, n, type, s);
}

static void shortcut_a_fwd(void *out, const void *in, const ex_map_shape *in_shape, int K,
                           int out_block, int stride, ex_stream s)
{
    ex_emulated_cost(0, half_bytes(in_shape, K + in_shape->C, stride));
    ex_kernels_cuda.shortcut_a_fwd(out, in, in_shape, K, out_block, stride, s);
}

static void shortcut_a_bwd(void *din, const void *dout, const ex_map_shape *in_shape, int K,
                           int out_block, int stride, ex_stream s)
{
    ex_emulated_cost(0, half_bytes(in_shape, 3 * in_shape->C, stride));
    ex_kernels_cuda.shortcut_a_bwd(din, dout, in_shape, K, out_block, stride, s);
}

static void maxpool_fwd(void *y, int8_t *index, const void *x, const ex_pool_shape *p, ex_stream s)
{
    ex_emulated_cost(0, map_bytes(&p->in) + pool_bytes(p) + (index ? pool_values(p) : 0));
    ex_kernels_cuda.maxpool_fwd(y, index, x, p, s);
}

static void maxpool_bwd(void *dx, const void *dy, const int8_t *index, const ex_pool_shape *p,
                        ex_stream s)
{
    ex_emulated_cost(0, map_bytes(&p->in) + pool_bytes(p) + pool_values(p));
    ex_kernels_cuda.maxpool_bwd(dx, dy, index, p, s);
}

static void avgpool_fwd(void *y, const void *x, const ex_pool_shape *p, ex_stream s)
{
    ex_emulated_cost(0, map_bytes(&p->in) + pool_bytes(p));
    ex_kernels_cuda.avgpool_fwd(y, x, p, s);
}

static void avgpool_bwd(void *dx, const void *dy, const ex_pool_shape *p, ex_stream s)
{
    ex_emulated_cost(0, map_bytes(&p->in) + pool_bytes(p));
    ex_kernels_cuda.avgpool_bwd(dx, dy, p, s);
}

static void conv_rows_bwd(float *dw, float *dsum, const void *x, const void *dy, const int32_t *row,
                          int rows, const ex_conv_shape *c, float *scratch, ex_stream s)
{
    const double taps = 1.0 * c->R * c->S * c->in.C * rows;
    const double pixels = 1.0 * c->in.N * c->out_H * c->out_W;
    ex_emulated_cost(2 * pixels * taps, map_bytes(&c->in) + output_bytes(c) * rows / c->K);
    ex_kernels_cuda.conv_rows_bwd(dw, dsum, x, dy, row, rows, c, scratch, s);
}

static void flatten_fwd(void *out, const void *in, const ex_map_shape *shape,
                        const ex_dropout *drop, ex_stream s)
{
    ex_emulated_cost(0, 2 * map_bytes(shape));
    ex_kernels_cuda.flatten_fwd(out, in, shape, drop, s);
}

static void flatten_bwd(void *din, const void *dout, const ex_map_shape *shape,
                        const ex_dropout *drop, ex_stream s)
{
    ex_emulated_cost(0, 2 * map_bytes(shape));
    ex_kernels_cuda.flatten_bwd(din, dout, shape, drop, s);
}

static void channel_ablate(void *out, const void *in, const void *residual, const int32_t *channel,
                           const float *fill, int relu, int V, const ex_map_shape *shape,
                           ex_stream s)
{
    ex_emulated_cost(0, map_bytes(shape) * (1 + V));
    ex_kernels_cuda.channel_ablate(out, in, residual, channel, fill, relu, V, shape, s);
}

/* Planes of one channel are read from the map, written and read again. */
static void conv_channel_update(void *out, const float *pre, const void *weight,
                                const ex_channel_change *change, const ex_conv_shape *c, int relu,
                                float *scratch, ex_stream s)
{
    const int V = weight ? change->V : 0; /* none: it serves for its ReLU */
    const double outputs = output_bytes(c) / element(c->in.type);
    ex_emulated_cost(2 * outputs * c->R * c->S * V,
                     output_bytes(c) * (1 + change->V) + 3 * V * map_bytes(&c->in) / c->in.C);
    ex_kernels_cuda.conv_channel_update(out, pre, weight, change, c, relu, scratch, s);
}

static void feed_next(uint32_t *index_out, uint16_t *label_out, const ex_feed_state *state,
                      const uint32_t *index, const uint16_t *label, int N, ex_stream s)
{
    ex_kernels_cuda.feed_next(index_out, label_out, state, index, label, N, s);
}

static void feed_log(float *loss_log, int32_t *predicted_log, ex_feed_state *state,
                     const float *loss, const int32_t *predicted, int N, ex_stream s)
{
    ex_kernels_cuda.feed_log(loss_log, predicted_log, state, loss, predicted, N, s);
}

static void sgd_segments(float *params, float *velocity, const float *grads,
                         const ex_segment *segments, size_t segment_count, ex_sgd_coeff c,
                         ex_stream s)
{
    ex_kernels_cuda.sgd_segments(params, velocity, grads, segments, segment_count, c, s);
}

static void norm_running(float *running_mean, float *running_var, const float *batch_mean,
                         const float *batch_var, const uint8_t *selected, size_t count,
                         float momentum, int C, ex_stream s)
{
    ex_kernels_cuda.norm_running(running_mean, running_var, batch_mean, batch_var, selected, count,
                                 momentum, C, s);
}

static size_t norm_train_scratch(const ex_map_shape *shape)
{
    return ex_kernels_cuda.norm_train_scratch(shape);
}

static size_t conv_rows_scratch(const ex_conv_shape *c, int rows)
{
    return ex_kernels_cuda.conv_rows_scratch(c, rows);
}

static size_t conv_channel_scratch(const ex_conv_shape *c, int V)
{
    return ex_kernels_cuda.conv_channel_scratch(c, V);
}

extern const ex_kernels ex_kernels_counted;
/* What the back end calls; the rest stays NULL. */
const ex_kernels ex_kernels_counted = {
    .name = "cuda, counted",
    .convert = convert,
    .batch_gather = batch_gather,
    .softmax_xent = softmax_xent,
    .feed_next = feed_next,
    .feed_log = feed_log,
    .sgd_segments = sgd_segments,
    .norm_fold = norm_fold,
    .norm_fold_bwd = norm_fold_bwd,
    .norm_running = norm_running,
    .norm_train_fwd = norm_train_fwd,
    .norm_train_bwd = norm_train_bwd,
    .norm_train_scratch = norm_train_scratch,
    .add_relu_fwd = add_relu_fwd,
    .add_relu_bwd = add_relu_bwd,
    .shortcut_a_fwd = shortcut_a_fwd,
    .shortcut_a_bwd = shortcut_a_bwd,
    .maxpool_fwd = maxpool_fwd,
    .maxpool_bwd = maxpool_bwd,
    .avgpool_fwd = avgpool_fwd,
    .avgpool_bwd = avgpool_bwd,
    .conv_rows_bwd = conv_rows_bwd,
    .conv_rows_scratch = conv_rows_scratch,
    .flatten_fwd = flatten_fwd,
    .flatten_bwd = flatten_bwd,
    .channel_ablate = channel_ablate,
    .conv_channel_update = conv_channel_update,
    .conv_channel_scratch = conv_channel_scratch,
};
