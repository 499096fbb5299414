#include "operations.h"

#include "select.h"

#include "base/memory.h"

#include <string.h>

/* --- batch, messages, optimizer, loss --------------------------------------------------------- */

static void gather(operands *w)
{
    const ex_dataset *d = &w->f->data->train;
    const ex_gather_shape g = {.N = w->map.N,
                               .C = d->channels,
                               .H = d->height,
                               .W = d->width,
                               .out_H = d->height,
                               .out_W = d->width,
                               .block = 1,
                               .type = w->map.type,
                               .scale = w->ones,
                               .shift = w->zeros};
    ex_kernels_host.batch_gather(w->out, d->images, w->index, &g, w->s);
}

/* A byte in and a value out. */
static double gather_bytes(const operands *w)
{
    const ex_dataset *d = &w->f->data->train;
    const size_t values = (size_t)(w->map.N * d->channels) * (size_t)(d->height * d->width);
    return (double)values * (1.0 + (double)ex_map_type_bytes(w->map.type));
}

static void convert(operands *w)
{
    ex_kernels_host.convert(w->out, EX_MAP_BF16, w->vector[2], EX_MAP_F32, w->values, w->s);
}

static void loss(operands *w)
{
    ex_kernels_host.softmax_xent(w->vector[0], w->vector[1], w->predicted, w->vector[2],
                                 w->f->data->train.labels, w->map.N, w->f->model->classes, 1.0f,
                                 w->s);
}

/* Logits and their gradient; loss, prediction and label. */
static double loss_bytes(const operands *w)
{
    return (double)w->map.N * (8.0 * w->f->model->classes + 10.0);
}

static void pack(operands *w)
{
    ex_kernels_host.segments_pack(w->vector[0], w->vector[2], &w->all, 1, w->s);
}

static void unpack(operands *w)
{
    ex_kernels_host.segments_unpack(w->vector[0], w->vector[2], &w->all, 1, w->s);
}

static void sgd(operands *w)
{
    const ex_sgd_coeff c = {.lr = 1e-6f, .momentum = 0.9f, .weight_decay = 5e-4f};
    ex_kernels_host.sgd_segments(w->vector[0], w->vector[1], w->vector[2], &w->all, 1, c, w->s);
}

static void accumulate(operands *w)
{
    uint64_t outside = 0;
    ex_kernels_host.accumulate_fixed(w->sums, &outside, w->vector[2], 1e-6, w->all.length, w->s);
}

/* --- batch norm, residual blocks -------------------------------------------------------------- */

static void norm_fwd(operands *w)
{
    ex_kernels_host.norm_train_fwd(w->out, w->in[0], NULL, &w->norm, w->s);
}

static void norm_fwd_add(operands *w)
{
    ex_kernels_host.norm_train_fwd(w->out, w->in[0], w->in[1], &w->norm, w->s);
}

static void norm_bwd(operands *w)
{
    const ex_norm_train_gradient g = {.dx = w->out,
                                      .dscale = w->channel[2],
                                      .dshift = w->channel[3],
                                      .g1 = w->in[1],
                                      .x = w->in[0]};
    ex_kernels_host.norm_train_bwd(&g, &w->norm, w->s);
}

static void fold(operands *w)
{
    ex_kernels_host.norm_fold(w->vector[0], w->channel[2], w->vector[2], NULL, w->ones, w->zeros,
                              w->zeros, w->ones, EX_NORM_EPS, NULL, w->fold->channels,
                              w->fold->row, w->s);
}

/* Statistics of 1, so that filters which are multiplied call after call stay what they are. */
static void fold_bwd(operands *w)
{
    const ex_norm_fold_gradient g = {.dweight = w->vector[0],
                                     .dscale = w->channel[2],
                                     .dshift = w->zeros,
                                     .weight = w->vector[2],
                                     .scale = w->ones,
                                     .mean = w->zeros,
                                     .var = w->ones,
                                     .eps = EX_NORM_EPS,
                                     .row = w->fold->row};
    ex_kernels_host.norm_fold_bwd(&g, NULL, w->fold->channels, w->s);
}

static double fold_bytes(const operands *w)
{
    return 8.0 * (double)w->fold->row * w->fold->channels;
}

static double fold_bwd_bytes(const operands *w)
{
    return 1.5 * fold_bytes(w);
}

static void add_relu(operands *w)
{
    ex_kernels_host.add_relu_fwd(w->out, w->in[0], w->in[1], w->values, w->map.type, w->s);
}

static void add_relu_bwd(operands *w)
{
    ex_kernels_host.add_relu_bwd(w->out, w->in[0], w->in[1], w->in[2], w->values, w->map.type,
                                 w->s);
}

/* To twice the channels and half the height and width, as between a resnet's stages. */
static void shortcut(operands *w)
{
    ex_kernels_host.shortcut_a_fwd(w->out, w->in[0], &w->map, 2 * w->map.C, w->map.block, 2, w->s);
}

static void shortcut_bwd(operands *w)
{
    ex_kernels_host.shortcut_a_bwd(w->out, w->in[0], &w->map, 2 * w->map.C, w->map.block, 2, w->s);
}

/* --- pools, linear layers --------------------------------------------------------------------- */

static ex_pool_shape pool_of(const operands *w)
{
    return (ex_pool_shape){
        .in = w->map, .out_H = w->map.H / 2, .out_W = w->map.W / 2, .R = 2, .S = 2, .stride = 2};
}

static void maxpool(operands *w)
{
    const ex_pool_shape p = pool_of(w);
    ex_kernels_host.maxpool_fwd(w->out, NULL, w->in[0], &p, w->s);
}

static void maxpool_bwd(operands *w)
{
    const ex_pool_shape p = pool_of(w);
    ex_kernels_host.maxpool_bwd(w->out, w->in[0], w->tap, &p, w->s);
}

static void avgpool(operands *w)
{
    const ex_pool_shape p = pool_of(w);
    ex_kernels_host.avgpool_fwd(w->out, w->in[0], &p, w->s);
}

static void avgpool_bwd(operands *w)
{
    const ex_pool_shape p = pool_of(w);
    ex_kernels_host.avgpool_bwd(w->out, w->in[0], &p, w->s);
}

static void flatten(operands *w)
{
    ex_kernels_host.flatten_fwd(w->out, w->in[0], &w->map, NULL, w->s);
}

static void flatten_bwd(operands *w)
{
    ex_kernels_host.flatten_bwd(w->out, w->in[0], &w->map, NULL, w->s);
}

/* --- selected filters, ablation --------------------------------------------------------------- */

static void conv_rows(operands *w)
{
    ex_kernels_host.conv_rows_bwd(w->vector[0], w->channel[2], w->in[0], w->in[1], w->row, w->rows,
                                  &w->conv, w->scratch, w->s);
}

/* The input, the selected channels of the output's gradient, and their filters'. */
static double conv_rows_bytes(const operands *w)
{
    const double share = (double)w->rows / w->map.C, filter = 4.0 * 9.0 * w->map.C;
    return (1.0 + share) * (double)(w->values * ex_map_type_bytes(w->map.type)) + w->rows * filter;
}

static void ablate(operands *w)
{
    ex_kernels_host.channel_ablate(w->out, w->in[0], NULL, w->changed, w->fill, 1,
                                   OPERATION_VARIANTS, &w->map, w->s);
}

static void conv_channel(operands *w)
{
    const ex_channel_change change = {
        .in = w->in[0], .channel = w->changed, .fill = w->fill, .relu = 1, .V = OPERATION_VARIANTS};
    ex_kernels_host.conv_channel_update(w->out, w->vector[2], w->in[1], &change, &w->conv, 1,
                                        w->scratch, w->s);
}

/* --- the table -------------------------------------------------------------------------------- */

/* Left out: what takes a few values a channel or a sample (norm_running, feed_next, feed_log). */
const operation bench_operations[] = {
    {"batch_gather", .more = gather_bytes, .call = gather},
    {"convert to bf16", .words = 1.5, .call = convert},
    {"softmax_xent", .more = loss_bytes, .call = loss},
    {"norm_train_fwd", .maps = 2, .call = norm_fwd},
    {"norm_train_fwd add", .maps = 3, .call = norm_fwd_add},
    {"norm_train_bwd", .maps = 3, .call = norm_bwd},
    {"norm_fold", .more = fold_bytes, .call = fold},
    {"norm_fold_bwd", .more = fold_bwd_bytes, .call = fold_bwd},
    {"add_relu_fwd", .maps = 3, .call = add_relu},
    {"add_relu_bwd", .maps = 4, .call = add_relu_bwd},
    {"shortcut_a_fwd", .maps = 0.75, .call = shortcut},
    {"shortcut_a_bwd", .maps = 0.75, .call = shortcut_bwd},
    {"maxpool_fwd 2x2", .maps = 1.25, .call = maxpool},
    {"maxpool_bwd 2x2", .maps = 1.25, .words = 0.0625, .call = maxpool_bwd},
    {"avgpool_fwd 2x2", .maps = 1.25, .call = avgpool},
    {"avgpool_bwd 2x2", .maps = 1.25, .call = avgpool_bwd},
    {"flatten_fwd", .maps = 2, .call = flatten},
    {"flatten_bwd", .maps = 2, .call = flatten_bwd},
    {"conv_rows_bwd", .more = conv_rows_bytes, .call = conv_rows},
    {"channel_ablate x4", .maps = OPERATION_VARIANTS + 1, .call = ablate},
    {"conv_channel x4", .maps = OPERATION_VARIANTS + 1, .words = 1, .call = conv_channel},
    {"segments_pack", .parameters = 8, .call = pack},
    {"segments_unpack", .parameters = 8, .call = unpack},
    {"sgd_segments", .parameters = 20, .call = sgd},
    {"accumulate_fixed", .parameters = 20, .call = accumulate},
};
const int bench_operation_count = sizeof bench_operations / sizeof *bench_operations;

double bench_operation_bytes(const operation *c, const operands *w)
{
    const double value = (double)ex_map_type_bytes(w->map.type);
    return (double)w->values * (c->maps * value + c->words * 4.0) +
           (double)w->all.length * c->parameters + (c->more ? c->more(w) : 0.0);
}

/* --- buffers ---------------------------------------------------------------------------------- */

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

void bench_operands_close(operands *w)
{
    ex_free(&w->out);
    for (int i = 0; i < OPERATION_MAPS; i++)
        ex_free(&w->in[i]);
    for (int i = 0; i < OPERATION_VECTORS; i++)
        ex_free(&w->vector[i]);
    for (int i = 0; i < OPERATION_CHANNELS; i++)
        ex_free(&w->channel[i]);
    ex_free(&w->ones);
    ex_free(&w->zeros);
    ex_free(&w->scratch);
    ex_free(&w->index);
    ex_free(&w->predicted);
    ex_free(&w->tap);
    ex_free(&w->row);
    ex_free(&w->sums);
}

static void set_shapes(operands *w, const ex_federation *f, const bench_options *o)
{
    const ex_model *m = f->model;
    const ex_node *n = &m->nodes[m->layers[0].node];
    *w = (operands){.f = f,
                    .s = {.threads = o->threads},
                    .map = {.N = o->batch,
                            .C = n->K,
                            .H = n->out_H,
                            .W = n->out_W,
                            .block = n->K % 16 ? 1 : 16,
                            .type = o->precision == EX_BF16 ? EX_MAP_BF16 : EX_MAP_F32},
                    .fold = m->layers,
                    .channels = EX_CHANNELS_MAX,
                    .all = {.length = m->param_count}};
    w->conv = (ex_conv_shape){.in = w->map,
                              .K = w->map.C,
                              .out_H = w->map.H,
                              .out_W = w->map.W,
                              .out_block = w->map.block,
                              .R = 3,
                              .S = 3,
                              .stride = 1,
                              .pad = 1};
    for (int i = 0; i < m->layer_count; i++) {
        const ex_layer *l = &m->layers[i];
        w->channels = larger(w->channels, (size_t)l->channels);
        if (l->row * (size_t)l->channels > w->fold->row * (size_t)w->fold->channels)
            w->fold = l;
    }
    w->values = (size_t)w->map.N * (size_t)w->map.C * (size_t)(w->map.H * w->map.W);
    const size_t filters = 9 * (size_t)w->map.C * (size_t)w->map.C;
    w->in_values = larger(w->values, filters);
    w->vector_floats =
        larger(larger(w->all.length, w->in_values), (size_t)w->map.N * (size_t)m->classes);
    w->rows = ex_select_count(o->delta, w->map.C);
}

static size_t scratch_floats(const operands *w)
{
    const ex_kernels *k = &ex_kernels_host;
    return larger(larger(k->norm_train_scratch(&w->map), k->conv_rows_scratch(&w->conv, w->rows)),
                  k->conv_channel_scratch(&w->conv, OPERATION_VARIANTS));
}

static ex_status alloc_buffers(operands *w)
{
    const size_t value = ex_map_type_bytes(w->map.type), images = (size_t)w->map.N;
    /* `convert` writes bf16 whatever the maps are, which is no more than either. */
    EX_TRY(ex_alloc(&w->out, OPERATION_VARIANTS * w->values, value, "maps"));
    for (int i = 0; i < OPERATION_MAPS; i++)
        EX_TRY(ex_alloc(&w->in[i], w->in_values, value, "maps"));
    for (int i = 0; i < OPERATION_VECTORS; i++)
        EX_TRY(ex_alloc(&w->vector[i], w->vector_floats, sizeof(float), "vectors"));
    for (int i = 0; i < OPERATION_CHANNELS; i++)
        EX_TRY(ex_alloc(&w->channel[i], w->channels, sizeof(float), "channels"));
    EX_TRY(ex_alloc(&w->ones, w->channels, sizeof *w->ones, "channels"));
    EX_TRY(ex_alloc(&w->zeros, w->channels, sizeof *w->zeros, "channels"));
    EX_TRY(ex_alloc(&w->scratch, scratch_floats(w) + 1, sizeof *w->scratch, "scratch memory"));
    EX_TRY(ex_alloc(&w->index, images, sizeof *w->index, "samples"));
    EX_TRY(ex_alloc(&w->predicted, images, sizeof *w->predicted, "samples"));
    EX_TRY(ex_alloc(&w->tap, w->values, sizeof *w->tap, "maps"));
    EX_TRY(ex_alloc(&w->row, (size_t)w->rows, sizeof *w->row, "channels"));
    return ex_alloc(&w->sums, w->all.length, sizeof *w->sums, "sums");
}

ex_status bench_operands_open(operands *w, const ex_federation *f, const bench_options *o)
{
    set_shapes(w, f, o);
    EX_TRY(alloc_buffers(w));
    for (size_t i = 0; i < w->channels; i++)
        w->ones[i] = 1.0f;
    for (int i = 0; i < w->map.N; i++)
        w->index[i] = (uint32_t)i;
    for (size_t i = 0; i < w->values; i++)
        w->tap[i] = (int8_t)(i % 4);
    for (int i = 0; i < w->rows; i++)
        w->row[i] = i * w->map.C / w->rows;
    for (int v = 0; v < OPERATION_VARIANTS; v++)
        w->changed[v] = v * w->map.C / OPERATION_VARIANTS;
    w->norm = (ex_norm_train){.shape = w->map,
                              .scale = w->ones,
                              .shift = w->zeros,
                              .mean = w->channel[0],
                              .var = w->channel[1],
                              .eps = EX_NORM_EPS,
                              .relu = 1,
                              .scratch = w->scratch};
    return EX_OK;
}

/* --- their values ----------------------------------------------------------------------------- */

static float draw(uint32_t *word)
{
    *word = *word * 1664525u + 1013904223u;
    return (float)(int32_t)*word * 0x1p-31f;
}

static void fill_floats(float *out, size_t n, uint32_t *word)
{
    for (size_t i = 0; i < n; i++)
        out[i] = draw(word);
}

/* bf16: the upper half of the same values. */
static void fill_map(void *map, size_t n, ex_map_type type, uint32_t *word)
{
    if (type == EX_MAP_F32) {
        fill_floats(map, n, word);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const float value = draw(word);
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        ((uint16_t *)map)[i] = (uint16_t)(bits >> 16);
    }
}

void bench_operands_fill(operands *w)
{
    uint32_t word = 1;
    fill_map(w->out, OPERATION_VARIANTS * w->values, w->map.type, &word);
    for (int i = 0; i < OPERATION_MAPS; i++)
        fill_map(w->in[i], w->in_values, w->map.type, &word);
    for (int i = 0; i < OPERATION_VECTORS; i++)
        fill_floats(w->vector[i], w->vector_floats, &word);
    for (int i = 0; i < OPERATION_CHANNELS; i++)
        fill_floats(w->channel[i], w->channels, &word);
    for (int c = 0; c < w->map.C; c++) /* those of such values */
        w->channel[0][c] = 0.0f, w->channel[1][c] = 1.0f / 3.0f;
    memset(w->predicted, 0, (size_t)w->map.N * sizeof *w->predicted);
    memset(w->sums, 0, w->all.length * sizeof *w->sums);
}

/* FNV-1a, over words where there are any. */
static uint64_t digest(uint64_t hash, const void *data, size_t bytes)
{
    const unsigned char *at = data;
    for (; bytes >= sizeof hash; bytes -= sizeof hash, at += sizeof hash) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        hash = (hash ^ word) * 1099511628211u;
    }
    for (; bytes > 0; bytes--)
        hash = (hash ^ *at++) * 1099511628211u;
    return hash;
}

uint64_t bench_operands_digest(const operands *w)
{
    uint64_t hash = 1469598103934665603u;
    hash = digest(hash, w->out, OPERATION_VARIANTS * w->values * ex_map_type_bytes(w->map.type));
    hash = digest(hash, w->vector[0], w->vector_floats * sizeof(float));
    hash = digest(hash, w->vector[1], w->vector_floats * sizeof(float));
    for (int i = 0; i < OPERATION_CHANNELS; i++)
        hash = digest(hash, w->channel[i], w->channels * sizeof(float));
    hash = digest(hash, w->predicted, (size_t)w->map.N * sizeof *w->predicted);
    return digest(hash, w->sums, w->all.length * sizeof *w->sums);
}
