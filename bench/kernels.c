/* The operations of kernels.h by themselves, on the host: time, and bytes that must move.
 *
 * Maps are those of the model's first convolution, in blocks of 16 channels where it has as many;
 * vectors are the model's. Bytes count every operand once, read or written: what a single pass over
 * the memory would move. `segments_pack` of the whole vector is a copy, for comparison. What an
 * operation leaves with one thread and with all must have the same bits. */
#include "bench.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { CALLS = 4 /* in a repetition */, BUFFERS = 5 };

typedef struct work {
    const ex_federation *f;
    ex_stream s;
    ex_map_shape map;
    ex_norm_train norm;
    size_t map_floats, floats; /* of a map; of a buffer: the larger of map and parameters */
    float *buffer[BUFFERS];    /* 0 and 1 are written, 2 to 4 only read */
    float *channel[4];         /* (C) mean, var, dscale, dshift */
    float *scratch, *scale, *shift;
    uint32_t *index; /* (N) */
    int64_t *sums;   /* (parameters) */
    ex_segment all;
} work;

/* bytes: of a value of the map, or of a parameter where `vector`. */
typedef struct kernel_case {
    const char *name;
    bool vector;
    int bytes;
    void (*call)(work *w);
} kernel_case;

static void gather(work *w)
{
    const ex_dataset *d = &w->f->data->train;
    const ex_gather_shape g = {.N = w->map.N,
                               .C = d->channels,
                               .H = d->height,
                               .W = d->width,
                               .out_H = d->height,
                               .out_W = d->width,
                               .block = 1,
                               .scale = w->scale,
                               .shift = w->shift};
    ex_kernels_host.batch_gather(w->buffer[0], d->images, w->index, &g, w->s);
}

static void norm_fwd(work *w)
{
    ex_kernels_host.norm_train_fwd(w->buffer[0], w->buffer[2], NULL, &w->norm, w->s);
}

static void norm_fwd_add(work *w)
{
    ex_kernels_host.norm_train_fwd(w->buffer[0], w->buffer[2], w->buffer[3], &w->norm, w->s);
}

static void norm_bwd(work *w)
{
    const ex_norm_train_gradient g = {.dx = w->buffer[0],
                                      .dscale = w->channel[2],
                                      .dshift = w->channel[3],
                                      .g1 = w->buffer[3],
                                      .x = w->buffer[2]};
    ex_kernels_host.norm_train_bwd(&g, &w->norm, w->s);
}

static void add_relu(work *w)
{
    ex_kernels_host.add_relu_fwd(w->buffer[0], w->buffer[2], w->buffer[3], w->map_floats,
                                 EX_MAP_F32, w->s);
}

static void add_relu_bwd(work *w)
{
    ex_kernels_host.add_relu_bwd(w->buffer[0], w->buffer[2], w->buffer[3], w->buffer[4],
                                 w->map_floats, EX_MAP_F32, w->s);
}

static ex_pool_shape pool_of(const work *w)
{
    return (ex_pool_shape){
        .in = w->map, .out_H = w->map.H / 2, .out_W = w->map.W / 2, .R = 2, .S = 2, .stride = 2};
}

static void maxpool(work *w)
{
    const ex_pool_shape p = pool_of(w);
    ex_kernels_host.maxpool_fwd(w->buffer[0], NULL, w->buffer[2], &p, w->s);
}

static void flatten(work *w)
{
    ex_kernels_host.flatten_fwd(w->buffer[0], w->buffer[2], &w->map, NULL, w->s);
}

static void pack(work *w)
{
    ex_kernels_host.segments_pack(w->buffer[0], w->buffer[2], &w->all, 1, w->s);
}

static void sgd(work *w)
{
    const ex_sgd_coeff c = {.lr = 1e-6f, .momentum = 0.9f, .weight_decay = 5e-4f};
    ex_kernels_host.sgd_segments(w->buffer[0], w->buffer[1], w->buffer[2], &w->all, 1, c, w->s);
}

static void accumulate(work *w)
{
    uint64_t outside = 0;
    ex_kernels_host.accumulate_fixed(w->sums, &outside, w->buffer[2], 1e-6, w->all.length, w->s);
}

/* Bytes of float32 maps: x in and y out are 8. The gather is counted by itself. */
static const kernel_case cases[] = {
    {"batch_gather", false, 0, gather},
    {"norm_train_fwd", false, 8, norm_fwd},
    {"norm_train_fwd add", false, 12, norm_fwd_add},
    {"norm_train_bwd", false, 12, norm_bwd},
    {"add_relu_fwd", false, 12, add_relu},
    {"add_relu_bwd", false, 16, add_relu_bwd},
    {"maxpool_fwd 2x2", false, 5, maxpool},
    {"flatten_fwd", false, 8, flatten},
    {"segments_pack", true, 8, pack},
    {"sgd_segments", true, 20, sgd},
    {"accumulate_fixed", true, 20, accumulate},
};

enum { CASES = sizeof cases / sizeof *cases };

static double bytes_of(const work *w, const kernel_case *c)
{
    const ex_dataset *d = &w->f->data->train;
    const size_t images = (size_t)(w->map.N * d->channels) * (size_t)(d->height * d->width);
    return c->bytes == 0 ? (double)images * 5.0
                         : (double)(c->vector ? w->all.length : w->map_floats) * c->bytes;
}

/* --- buffers ---------------------------------------------------------------------------------- */

static void close_work(work *w)
{
    for (int i = 0; i < BUFFERS; i++)
        ex_free(&w->buffer[i]);
    for (int i = 0; i < 4; i++)
        ex_free(&w->channel[i]);
    ex_free(&w->scratch);
    ex_free(&w->scale);
    ex_free(&w->shift);
    ex_free(&w->index);
    ex_free(&w->sums);
}

static ex_status open_work(work *w, const ex_federation *f, const bench_options *o)
{
    const ex_model *m = f->model;
    const ex_node *n = &m->nodes[m->layers[0].node];
    const size_t channels = (size_t)n->K, params = m->param_count;
    *w = (work){.f = f,
                .s = {.threads = o->threads},
                .map = {.N = o->batch,
                        .C = n->K,
                        .H = n->out_H,
                        .W = n->out_W,
                        .block = n->K % 16 ? 1 : 16},
                .all = {.length = params}};
    w->map_floats = (size_t)w->map.N * channels * (size_t)(w->map.H * w->map.W);
    w->floats = w->map_floats > params ? w->map_floats : params;
    for (int i = 0; i < BUFFERS; i++)
        EX_TRY(ex_alloc(&w->buffer[i], w->floats, sizeof(float), "maps"));
    for (int i = 0; i < 4; i++)
        EX_TRY(ex_alloc(&w->channel[i], channels, sizeof(float), "channels"));
    EX_TRY(ex_alloc(&w->scratch, ex_kernels_host.norm_train_scratch(&w->map) + 1, sizeof(float),
                    "scratch memory"));
    EX_TRY(ex_alloc(&w->scale, channels + EX_CHANNELS_MAX, sizeof(float), "channels"));
    EX_TRY(ex_alloc(&w->shift, channels + EX_CHANNELS_MAX, sizeof(float), "channels"));
    EX_TRY(ex_alloc(&w->index, (size_t)w->map.N, sizeof *w->index, "samples"));
    EX_TRY(ex_alloc(&w->sums, params, sizeof *w->sums, "sums"));
    for (size_t i = 0; i < channels + EX_CHANNELS_MAX; i++)
        w->scale[i] = 1.0f;
    for (int i = 0; i < w->map.N; i++)
        w->index[i] = (uint32_t)i;
    w->norm = (ex_norm_train){.shape = w->map,
                              .scale = w->scale,
                              .shift = w->shift,
                              .mean = w->channel[0],
                              .var = w->channel[1],
                              .eps = EX_NORM_EPS,
                              .relu = 1,
                              .scratch = w->scratch};
    return EX_OK;
}

/* Values from -1 to 1 that have no pattern; the statistics of a norm that reads them. */
static void fill(work *w)
{
    uint32_t word = 1;
    for (int b = 0; b < BUFFERS; b++)
        for (size_t i = 0; i < w->floats; i++) {
            word = word * 1664525u + 1013904223u;
            w->buffer[b][i] = (float)(int32_t)word * 0x1p-31f;
        }
    for (int c = 0; c < w->map.C; c++)
        w->channel[1][c] = 1.0f / 3.0f;
    memset(w->sums, 0, w->all.length * sizeof *w->sums);
}

/* --- measuring -------------------------------------------------------------------------------- */

static uint64_t bits(const work *w)
{
    uint64_t hash = 1469598103934665603u;
    const uint32_t *a = (const uint32_t *)(const void *)w->buffer[0];
    for (size_t i = 0; i < w->floats; i++)
        hash = (hash ^ a[i]) * 1099511628211u;
    for (size_t i = 0; i < w->all.length; i++)
        hash = (hash ^ (uint64_t)w->sums[i]) * 1099511628211u;
    return hash;
}

static bool threads_agree(work *w, const kernel_case *c)
{
    const int threads = w->s.threads;
    fill(w);
    w->s.threads = 1;
    c->call(w);
    const uint64_t alone = bits(w);
    fill(w);
    w->s.threads = threads;
    c->call(w);
    return bits(w) == alone;
}

static void time_case(bench_row *row, work *w, const kernel_case *c, int repetitions)
{
    row->wrong = !threads_agree(w, c);
    row->name = c->name;
    row->bytes = bytes_of(w, c);
    for (int r = 0; r < repetitions; r++) {
        const double start = ex_now();
        for (int i = 0; i < CALLS; i++)
            c->call(w);
        row->seconds[r] = (ex_now() - start) / CALLS;
    }
}

static ex_status run(bench_result *result, ex_federation *f, const bench_options *o)
{
    work w;
    ex_status status;
    EX_TRY_GOTO(open_work(&w, f, o), done);
    EX_TRY_GOTO(ex_alloc(&result->rows, CASES, sizeof *result->rows, "rows"), done);
    for (; result->row_count < CASES; result->row_count++) {
        bench_row *row = &result->rows[result->row_count];
        EX_TRY_GOTO(
            ex_alloc(&row->seconds, (size_t)o->repetitions, sizeof *row->seconds, "repetitions"),
            done);
        time_case(row, &w, &cases[result->row_count], o->repetitions);
        result->wrong += row->wrong;
    }
    result->repetitions = o->repetitions;
done:
    close_work(&w);
    return status;
}

const bench_job bench_kernels = {.name = "kernels",
                                 .summary = "operations of kernels.h on the host, and bytes moved",
                                 .unit = "us",
                                 .per_second = 1e6,
                                 .parts = 1,
                                 .repetitions = 20,
                                 .run = run};
