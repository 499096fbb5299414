/* CUDA's table of operations for operands of the host: how long each operand is, by kernels.h. */
#include "mirror.h"

static const ex_kernels *const cuda = &ex_kernels_cuda;

static float *in(mirror *m, const float *host, size_t floats)
{
    return mirror_in(m, host, floats * sizeof *host);
}

static float *out(mirror *m, float *host, size_t floats)
{
    return mirror_out(m, host, floats * sizeof *host);
}

/* Maps, or what is of their type. */
static void *map_in(mirror *m, const void *host, size_t values, ex_map_type type)
{
    return mirror_in(m, host, values * ex_map_type_bytes(type));
}

static void *map_out(mirror *m, void *host, size_t values, ex_map_type type)
{
    return mirror_out(m, host, values * ex_map_type_bytes(type));
}

static size_t volume(int N, int C, int H, int W)
{
    return (size_t)N * (size_t)C * (size_t)H * (size_t)W;
}

static size_t map_floats(const ex_map_shape *shape)
{
    return volume(shape->N, shape->C, shape->H, shape->W);
}

static ex_draws draws(mirror *m, const ex_draws *host)
{
    ex_draws d = *host;
    d.at = mirror_in(m, host->at, 3 * sizeof *host->at);
    return d;
}

/* --- types, batch, loss, feed
 * ------------------------------------------------------------------------ */

static void convert(void *y, ex_map_type out_type, const void *x, ex_map_type in_type, size_t n,
                    ex_stream s)
{
    mirror m = mirror_begin(s);
    cuda->convert(map_out(&m, y, n, out_type), out_type, map_in(&m, x, n, in_type), in_type, n,
                  m.stream);
    mirror_end(&m, __func__);
}

static void batch_gather(void *y, const uint8_t *images, const uint32_t *index,
                         const ex_gather_shape *g, ex_stream s)
{
    mirror m = mirror_begin(s);
    const size_t channels = (size_t)g->C;
    ex_gather_shape own = *g;
    ex_augment augment;
    size_t count = 0;
    for (int n = 0; n < g->N; n++)
        count = index[n] >= count ? (size_t)index[n] + 1 : count;
    own.scale = in(&m, g->scale, channels);
    own.shift = in(&m, g->shift, channels);
    if (g->augment) {
        augment = *g->augment;
        augment.draws = draws(&m, &g->augment->draws);
        own.augment = &augment;
    }
    cuda->batch_gather(map_out(&m, y, volume(g->N, g->C, g->out_H, g->out_W), g->type),
                       mirror_in(&m, images, count * volume(1, g->C, g->H, g->W)),
                       mirror_in(&m, index, (size_t)g->N * sizeof *index), &own, m.stream);
    mirror_end(&m, __func__);
}

static void softmax_xent(float *dlogits, float *loss, int32_t *predicted, const float *logits,
                         const uint16_t *label, int N, int K, float grad_scale, ex_stream s)
{
    mirror m = mirror_begin(s);
    const size_t rows = (size_t)N, n = rows * (size_t)K;
    cuda->softmax_xent(out(&m, dlogits, n), out(&m, loss, rows),
                       mirror_out(&m, predicted, rows * sizeof *predicted), in(&m, logits, n),
                       mirror_in(&m, label, rows * sizeof *label), N, K, grad_scale, m.stream);
    mirror_end(&m, __func__);
}

static void feed_next(uint32_t *index_out, uint16_t *label_out, const ex_feed_state *state,
                      const uint32_t *index, const uint16_t *label, int N, ex_stream s)
{
    mirror m = mirror_begin(s);
    const size_t n = (size_t)N, all = state->at + n;
    cuda->feed_next(mirror_out(&m, index_out, n * sizeof *index_out),
                    mirror_out(&m, label_out, n * sizeof *label_out),
                    mirror_in(&m, state, sizeof *state), mirror_in(&m, index, all * sizeof *index),
                    mirror_in(&m, label, all * sizeof *label), N, m.stream);
    mirror_end(&m, __func__);
}

static void feed_log(float *loss_log, int32_t *predicted_log, ex_feed_state *state,
                     const float *loss, const int32_t *predicted, int N, ex_stream s)
{
    mirror m = mirror_begin(s);
    const size_t n = (size_t)N, all = state->at + n;
    cuda->feed_log(out(&m, loss_log, all),
                   mirror_out(&m, predicted_log, all * sizeof *predicted_log),
                   mirror_out(&m, state, sizeof *state), in(&m, loss, n),
                   mirror_in(&m, predicted, n * sizeof *predicted), N, m.stream);
    mirror_end(&m, __func__);
}

/* --- optimizer, messages ---------------------------------------------------------------------- */

/* A flat vector reaches as far as its segments do, at least. */
static size_t flat_floats(const ex_segment *segments, size_t count)
{
    size_t end = 0;
    for (size_t i = 0; i < count; i++)
        end = segments[i].length > 0 ? segments[i].offset + segments[i].length : end;
    return end;
}

static size_t packed_floats(const ex_segment *segments, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += segments[i].length;
    return total;
}

static void sgd_segments(float *params, float *velocity, const float *grads,
                         const ex_segment *segments, size_t segment_count, ex_sgd_coeff c,
                         ex_stream s)
{
    mirror m = mirror_begin(s);
    const size_t n = flat_floats(segments, segment_count);
    cuda->sgd_segments(out(&m, params, n), out(&m, velocity, n), in(&m, grads, n),
                       mirror_in(&m, segments, segment_count * sizeof *segments), segment_count, c,
                       m.stream);
    mirror_end(&m, __func__);
}

static void segments_pack(float *packed, const float *flat, const ex_segment *segments,
                          size_t segment_count, ex_stream s)
{
    mirror m = mirror_begin(s);
    cuda->segments_pack(out(&m, packed, packed_floats(segments, segment_count)),
                        in(&m, flat, flat_floats(segments, segment_count)),
                        mirror_in(&m, segments, segment_count * sizeof *segments), segment_count,
                        m.stream);
    mirror_end(&m, __func__);
}

static void segments_unpack(float *flat, const float *packed, const ex_segment *segments,
                            size_t segment_count, ex_stream s)
{
    mirror m = mirror_begin(s);
    cuda->segments_unpack(out(&m, flat, flat_floats(segments, segment_count)),
                          in(&m, packed, packed_floats(segments, segment_count)),
                          mirror_in(&m, segments, segment_count * sizeof *segments), segment_count,
                          m.stream);
    mirror_end(&m, __func__);
}

static void accumulate_fixed(int64_t *acc, uint64_t *outside, const float *x, double weight,
                             size_t n, ex_stream s)
{
    mirror m = mirror_begin(s);
    cuda->accumulate_fixed(mirror_out(&m, acc, n * sizeof *acc),
                           mirror_out(&m, outside, sizeof *outside), in(&m, x, n), weight, n,
                           m.stream);
    mirror_end(&m, __func__);
}

/* --- batch norm ------------------------------------------------------------------------------- */

/* How many there are up to the last one in `channel`, or in all where that is NULL. */
static size_t channels_of(const int32_t *channel, int channels)
{
    size_t count = channel ? 0 : (size_t)channels;
    for (int i = 0; channel && i < channels; i++)
        count = (size_t)channel[i] >= count ? (size_t)channel[i] + 1 : count;
    return count;
}

static void norm_fold(float *weight_out, float *bias_out, const float *weight, const float *bias,
                      const float *scale, const float *shift, const float *mean, const float *var,
                      float eps, const int32_t *channel, int channels, size_t row, ex_stream s)
{
    mirror m = mirror_begin(s);
    const size_t k = channels_of(channel, channels);
    cuda->norm_fold(out(&m, weight_out, k * row), out(&m, bias_out, k), in(&m, weight, k * row),
                    in(&m, bias, k), in(&m, scale, k), in(&m, shift, k), in(&m, mean, k),
                    in(&m, var, k), eps, mirror_in(&m, channel, (size_t)channels * sizeof *channel),
                    channels, row, m.stream);
    mirror_end(&m, __func__);
}

static void norm_fold_bwd(const ex_norm_fold_gradient *g, const int32_t *channel, int channels,
                          ex_stream s)
{
    mirror m = mirror_begin(s);
    ex_norm_fold_gradient own = *g;
    const size_t k = channels_of(channel, channels);
    own.dweight = out(&m, g->dweight, k * g->row);
    own.dscale = out(&m, g->dscale, k);
    own.dbias = out(&m, g->dbias, k);
    own.dshift = in(&m, g->dshift, k);
    own.weight = in(&m, g->weight, k * g->row);
    own.bias = in(&m, g->bias, k);
    own.scale = in(&m, g->scale, k);
    own.mean = in(&m, g->mean, k);
    own.var = in(&m, g->var, k);
    cuda->norm_fold_bwd(&own, mirror_in(&m, channel, (size_t)channels * sizeof *channel), channels,
                        m.stream);
    mirror_end(&m, __func__);
}

static void norm_running(float *running_mean, float *running_var, const float *batch_mean,
                         const float *batch_var, const uint8_t *selected, size_t count,
                         float momentum, int C, ex_stream s)
{
    mirror m = mirror_begin(s);
    const size_t c = (size_t)C;
    cuda->norm_running(out(&m, running_mean, c), out(&m, running_var, c), in(&m, batch_mean, c),
                       in(&m, batch_var, c), mirror_in(&m, selected, c), count, momentum, C,
                       m.stream);
    mirror_end(&m, __func__);
}

/* `forward`: the statistics are outputs. */
static ex_norm_train norm_train(mirror *m, const ex_norm_train *n, bool forward)
{
    const size_t c = (size_t)n->shape.C;
    ex_norm_train own = *n;
    own.scale = in(m, n->scale, c);
    own.shift = in(m, n->shift, c);
    own.mean = forward ? out(m, n->mean, c) : in(m, n->mean, c);
    own.var = forward ? out(m, n->var, c) : in(m, n->var, c);
    own.scratch = out(m, n->scratch, cuda->norm_train_scratch(&n->shape));
    return own;
}

static void norm_train_fwd(void *y, const void *x, const void *residual, const ex_norm_train *n,
                           ex_stream s)
{
    mirror m = mirror_begin(s);
    const size_t floats = map_floats(&n->shape);
    const ex_map_type type = n->shape.type;
    const ex_norm_train own = norm_train(&m, n, true);
    cuda->norm_train_fwd(map_out(&m, y, floats, type), map_in(&m, x, floats, type),
                         map_in(&m, residual, floats, type), &own, m.stream);
    mirror_end(&m, __func__);
}

static void norm_train_bwd(const ex_norm_train_gradient *g, const ex_norm_train *n, ex_stream s)
{
    mirror m = mirror_begin(s);
    const size_t floats = map_floats(&n->shape), c = (size_t)n->shape.C;
    const ex_map_type type = n->shape.type;
    const ex_norm_train norm = norm_train(&m, n, false);
    ex_norm_train_gradient own = *g;
    own.dx = map_out(&m, g->dx, floats, type);
    own.dscale = out(&m, g->dscale, c);
    own.dshift = out(&m, g->dshift, c);
    own.g1 = g->keep ? map_out(&m, g->g1, floats, type) : map_in(&m, g->g1, floats, type);
    own.g2 = map_in(&m, g->g2, floats, type);
    own.x = map_in(&m, g->x, floats, type);
    own.y = map_in(&m, g->y, floats, type);
    cuda->norm_train_bwd(&own, &norm, m.stream);
    mirror_end(&m, __func__);
}

static size_t norm_train_scratch(const ex_map_shape *shape)
{
    return cuda->norm_train_scratch(shape);
}

/* --- residual blocks -------------------------------------------------------------------------- */

static void add_relu_fwd(void *y, const void *a, const void *b, size_t n, ex_map_type type,
                         ex_stream s)
{
    mirror m = mirror_begin(s);
    cuda->add_relu_fwd(map_out(&m, y, n, type), map_in(&m, a, n, type), map_in(&m, b, n, type), n,
                       type, m.stream);
    mirror_end(&m, __func__);
}

static void add_relu_bwd(void *dx, const void *g1, const void *g2, const void *y, size_t n,
                         ex_map_type type, ex_stream s)
{
    mirror m = mirror_begin(s);
    cuda->add_relu_bwd(map_out(&m, dx, n, type), map_in(&m, g1, n, type), map_in(&m, g2, n, type),
                       map_in(&m, y, n, type), n, type, m.stream);
    mirror_end(&m, __func__);
}

static size_t shortcut_floats(const ex_map_shape *from, int K, int stride)
{
    return volume(from->N, K, (from->H + stride - 1) / stride, (from->W + stride - 1) / stride);
}

static void shortcut_a_fwd(void *y, const void *x, const ex_map_shape *shape, int K, int out_block,
                           int stride, ex_stream s)
{
    mirror m = mirror_begin(s);
    cuda->shortcut_a_fwd(map_out(&m, y, shortcut_floats(shape, K, stride), shape->type),
                         map_in(&m, x, map_floats(shape), shape->type), shape, K, out_block, stride,
                         m.stream);
    mirror_end(&m, __func__);
}

static void shortcut_a_bwd(void *din, const void *dout, const ex_map_shape *shape, int K,
                           int out_block, int stride, ex_stream s)
{
    mirror m = mirror_begin(s);
    cuda->shortcut_a_bwd(map_out(&m, din, map_floats(shape), shape->type),
                         map_in(&m, dout, shortcut_floats(shape, K, stride), shape->type), shape, K,
                         out_block, stride, m.stream);
    mirror_end(&m, __func__);
}

/* --- pools, linear layers --------------------------------------------------------------------- */

static size_t pooled(const ex_pool_shape *p)
{
    return volume(p->in.N, p->in.C, p->out_H, p->out_W);
}

static void maxpool_fwd(void *y, int8_t *index, const void *x, const ex_pool_shape *p, ex_stream s)
{
    mirror m = mirror_begin(s);
    cuda->maxpool_fwd(map_out(&m, y, pooled(p), p->in.type), mirror_out(&m, index, pooled(p)),
                      map_in(&m, x, map_floats(&p->in), p->in.type), p, m.stream);
    mirror_end(&m, __func__);
}

static void maxpool_bwd(void *dx, const void *dy, const int8_t *index, const ex_pool_shape *p,
                        ex_stream s)
{
    mirror m = mirror_begin(s);
    cuda->maxpool_bwd(map_out(&m, dx, map_floats(&p->in), p->in.type),
                      map_in(&m, dy, pooled(p), p->in.type), mirror_in(&m, index, pooled(p)), p,
                      m.stream);
    mirror_end(&m, __func__);
}

static void avgpool_fwd(void *y, const void *x, const ex_pool_shape *p, ex_stream s)
{
    mirror m = mirror_begin(s);
    cuda->avgpool_fwd(map_out(&m, y, pooled(p), p->in.type),
                      map_in(&m, x, map_floats(&p->in), p->in.type), p, m.stream);
    mirror_end(&m, __func__);
}

static void avgpool_bwd(void *dx, const void *dy, const ex_pool_shape *p, ex_stream s)
{
    mirror m = mirror_begin(s);
    cuda->avgpool_bwd(map_out(&m, dx, map_floats(&p->in), p->in.type),
                      map_in(&m, dy, pooled(p), p->in.type), p, m.stream);
    mirror_end(&m, __func__);
}

static void flatten_fwd(void *y, const void *x, const ex_map_shape *shape, const ex_dropout *drop,
                        ex_stream s)
{
    mirror m = mirror_begin(s);
    ex_dropout own = {0};
    if (drop)
        own = (ex_dropout){.rate = drop->rate, .draws = draws(&m, &drop->draws)};
    cuda->flatten_fwd(map_out(&m, y, map_floats(shape), shape->type),
                      map_in(&m, x, map_floats(shape), shape->type), shape, drop ? &own : NULL,
                      m.stream);
    mirror_end(&m, __func__);
}

static void flatten_bwd(void *din, const void *dout, const ex_map_shape *shape,
                        const ex_dropout *drop, ex_stream s)
{
    mirror m = mirror_begin(s);
    ex_dropout own = {0};
    if (drop)
        own = (ex_dropout){.rate = drop->rate, .draws = draws(&m, &drop->draws)};
    cuda->flatten_bwd(map_out(&m, din, map_floats(shape), shape->type),
                      map_in(&m, dout, map_floats(shape), shape->type), shape, drop ? &own : NULL,
                      m.stream);
    mirror_end(&m, __func__);
}

/* --- selected filters, ablation --------------------------------------------------------------- */

static size_t conv_floats(const ex_conv_shape *c)
{
    return volume(c->in.N, c->K, c->out_H, c->out_W);
}

static size_t filter_floats(const ex_conv_shape *c)
{
    return volume(c->K, c->R, c->S, c->in.C);
}

static void conv_rows_bwd(float *dw, float *dsum, const void *x, const void *dy, const int32_t *row,
                          int rows, const ex_conv_shape *c, float *scratch, ex_stream s)
{
    mirror m = mirror_begin(s);
    cuda->conv_rows_bwd(out(&m, dw, filter_floats(c)), out(&m, dsum, (size_t)c->K),
                        map_in(&m, x, map_floats(&c->in), c->in.type),
                        map_in(&m, dy, conv_floats(c), c->in.type),
                        mirror_in(&m, row, (size_t)rows * sizeof *row), rows, c,
                        out(&m, scratch, cuda->conv_rows_scratch(c, rows)), m.stream);
    mirror_end(&m, __func__);
}

static size_t conv_rows_scratch(const ex_conv_shape *c, int rows)
{
    return cuda->conv_rows_scratch(c, rows);
}

static void channel_ablate(void *y, const void *x, const void *residual, const int32_t *channel,
                           const float *fill, int relu, int V, const ex_map_shape *shape,
                           ex_stream s)
{
    mirror m = mirror_begin(s);
    const size_t n = map_floats(shape), variants = (size_t)V;
    cuda->channel_ablate(map_out(&m, y, variants * n, shape->type), map_in(&m, x, n, shape->type),
                         map_in(&m, residual, n, shape->type),
                         mirror_in(&m, channel, variants * sizeof *channel), in(&m, fill, variants),
                         relu, V, shape, m.stream);
    mirror_end(&m, __func__);
}

static void conv_channel_update(void *y, const float *pre, const void *weight,
                                const ex_channel_change *change, const ex_conv_shape *c, int relu,
                                float *scratch, ex_stream s)
{
    mirror m = mirror_begin(s);
    const size_t variants = (size_t)change->V, maps = map_floats(&c->in);
    ex_channel_change own = *change;
    own.in = map_in(&m, change->in, maps, c->in.type);
    own.residual = map_in(&m, change->residual, maps, c->in.type);
    own.channel = mirror_in(&m, change->channel, variants * sizeof *change->channel);
    own.fill = in(&m, change->fill, variants);
    cuda->conv_channel_update(map_out(&m, y, variants * conv_floats(c), c->in.type),
                              in(&m, pre, conv_floats(c)),
                              map_in(&m, weight, filter_floats(c), c->in.type), &own, c, relu,
                              out(&m, scratch, cuda->conv_channel_scratch(c, change->V)), m.stream);
    mirror_end(&m, __func__);
}

static size_t conv_channel_scratch(const ex_conv_shape *c, int V)
{
    return cuda->conv_channel_scratch(c, V);
}

const ex_kernels ex_kernels_mirrored = {.name = "cuda",
                                        .convert = convert,
                                        .batch_gather = batch_gather,
                                        .softmax_xent = softmax_xent,
                                        .feed_next = feed_next,
                                        .feed_log = feed_log,
                                        .sgd_segments = sgd_segments,
                                        .segments_pack = segments_pack,
                                        .segments_unpack = segments_unpack,
                                        .accumulate_fixed = accumulate_fixed,
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
                                        .conv_channel_scratch = conv_channel_scratch};
