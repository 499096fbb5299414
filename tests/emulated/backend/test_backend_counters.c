/* What training steps and ablations cost on the GPU, as the emulated device counts it at full size:
 * held against what the design predicts (predict.h), and printed as a table. Launches, calls and
 * waits agree exactly, floating-point operations and bytes within 1 %. Nothing is computed: the
 * device only counts. */
#include "ablate.h"
#include "device/device.h"
#include "net_fixture.h"
#include "predict.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BATCH = 128,
    STEPS = 16, /* of a run: two launches */
    GROUP = 8,
    PROBE = 1024,
    LANES_MAX = 4,
};

static const double BOUND = 0.01;

typedef struct bench {
    ex_model *model;
    ex_device *device;
    ex_lane *lane, *more[LANES_MAX];
    ex_dataset data;
    ex_samples feed;
    float *params, *stats, *logits;
} bench;

/* What happened between two looks at the counters. */
typedef struct counted {
    long launches, calls, waits, allocations, depth;
    double flop, bytes;
} counted;

static counted between(const ex_emulated_counts *a, const ex_emulated_counts *b)
{
    const long works = b->works - a->works, replayed = b->graph_works - a->graph_works;
    return (counted){
        .launches = b->launches + b->library_calls - a->launches - a->library_calls,
        .calls = works - replayed + b->graph_launches - a->graph_launches,
        .waits = b->waits - a->waits,
        .allocations = b->allocations - a->allocations,
        .depth = b->depth - a->depth,
        .flop = b->flop - a->flop,
        .bytes = b->moved - a->moved,
    };
}

static counted counted_times(counted c, long n)
{
    return (counted){c.launches * n, c.calls * n,        c.waits * n,        c.allocations * n,
                     c.depth * n,    c.flop * (double)n, c.bytes * (double)n};
}

static void open_bench(bench *b, const char *model)
{
    const ex_model_shape shape = {.classes = 10, .channels = 3, .height = 32, .width = 32};
    const ex_device_options options = {.device = "cuda", .conv = EX_CONV_DIRECT};
    *b = (bench){0};
    ex_emulated_reset(0);
    ex_emulated_only_count();
    ex_emulated_set_memory((size_t)64 << 30);
    assert_ok(ex_model_create(&b->model, model, shape));
    ex_test_images(&b->data, b->model, BATCH * STEPS, 3);
    ex_dataset_changed(&b->data);
    assert_ok(ex_samples_all(&b->feed, &b->data));
    b->params = calloc(b->model->param_count, sizeof(float));
    b->stats = calloc(b->model->stat_count + 1, sizeof(float));
    b->logits = calloc((size_t)PROBE * 10, sizeof(float));
    assert_ok(ex_device_open(&b->device, &options));
    assert_ok(ex_lane_create(&b->lane, b->device, b->model, 1));
    assert_ok(ex_lane_load(b->lane, b->params, b->stats));
}

static void close_bench(bench *b)
{
    for (int i = 0; i < LANES_MAX; i++)
        ex_lane_destroy(&b->more[i]);
    ex_lane_destroy(&b->lane);
    ex_device_close(&b->device);
    ex_samples_free(&b->feed);
    ex_dataset_close(&b->data);
    ex_model_destroy(&b->model);
    free(b->params);
    free(b->stats);
    free(b->logits);
    assert_string_equal(ex_emulated_leaks(), "");
}

/* --- the table -------------------------------------------------------------------------------- */

static void print_head(void)
{
    printf("# %-9s %-34s %21s %19s %15s %23s %23s %9s\n", "model", "what", "launches", "calls",
           "waits", "GFLOP", "GB", "longest");
    printf("# %-9s %-34s %10s %10s %9s %9s %7s %7s %11s %11s %11s %11s %9s\n", "", "", "predicted",
           "counted", "predicted", "counted", "pred.", "counted", "predicted", "counted",
           "predicted", "counted", "chain");
}

static bool near(double a, double b)
{
    return fabs(a - b) <= BOUND * fabs(b);
}

/* A row, and whether prediction and count agree. */
static void check(const bench *b, const char *what, ex_predicted p, long calls, long waits,
                  counted c)
{
    printf("  %-9s %-34s %10ld %10ld %9ld %9ld %7ld %7ld %11.1f %11.1f %11.3f %11.3f %9ld\n",
           b->model->name, what, p.launches, c.launches, calls, c.calls, waits, c.waits,
           p.flop / 1e9, c.flop / 1e9, p.bytes / 1e9, c.bytes / 1e9, c.depth);
    fflush(stdout);
    assert_int_equal(c.launches, p.launches);
    assert_int_equal(c.calls, calls);
    assert_int_equal(c.waits, waits);
    assert_int_equal(c.allocations, 0);
    assert_true(near(c.flop, p.flop));
    assert_true(near(c.bytes, p.bytes));
}

/* --- training --------------------------------------------------------------------------------- */

/* One filter in twenty of each layer, at least one. */
static ex_mask *mask_of(const ex_model *m)
{
    enum { SHARE = 20 };
    ex_mask *mask;
    assert_ok(ex_mask_create(&mask, m));
    for (int i = 0; i < m->layer_count; i++)
        for (int c = 0; c < m->layers[i].channels; c++)
            if (c % SHARE == 0 && (c == 0 || c + SHARE <= m->layers[i].channels))
                assert_ok(ex_mask_select(mask, i, c));
    assert_ok(ex_mask_seal(mask));
    return mask;
}

/* A filter of the last convolution, and a row of the classifier. */
static ex_mask *mask_of_the_end(const ex_model *m)
{
    ex_mask *mask;
    int conv = m->layer_count - 1;
    while (m->nodes[m->layers[conv].node].op != EX_OP_CONV)
        conv--;
    assert_ok(ex_mask_create(&mask, m));
    assert_ok(ex_mask_select(mask, conv, 0));
    assert_ok(ex_mask_select(mask, m->layer_count - 1, 0));
    assert_ok(ex_mask_seal(mask));
    return mask;
}

static counted count_training(bench *b, ex_lane *lane, const ex_mask *mask, ex_norm_mode norm)
{
    enum { WARM = 2 };
    const ex_sgd_coeff sgd = {.lr = 0.1f, .momentum = 0.9f};
    const ex_plan_spec spec = {.use = EX_USE_TRAIN, .batch = BATCH, .norm = norm, .mask = mask};
    ex_train_sums sums = {0};
    ex_plan *plan;
    assert_ok(ex_plan_create(&plan, lane, &spec));
    for (int i = 0; i < WARM; i++)
        assert_ok(ex_plan_train(plan, &b->data, &b->feed, &sgd, &sums));
    const ex_emulated_counts before = ex_emulated_count();
    assert_ok(ex_plan_train(plan, &b->data, &b->feed, &sgd, &sums));
    const ex_emulated_counts after = ex_emulated_count();
    ex_plan_destroy(&plan);
    assert_int_equal(after.pageable_copies, before.pageable_copies);
    return between(&before, &after);
}

/* Maps are half as large, filters are made bf16 first and their gradients float32 again. */
static void check_bf16(bench *b, const counted *fp32)
{
    const ex_device_options options = {
        .device = "cuda", .precision = EX_BF16, .conv = EX_CONV_DIRECT};
    ex_device *device;
    ex_lane *lane;
    assert_ok(ex_device_open(&device, &options));
    assert_ok(ex_lane_create(&lane, device, b->model, 1));
    assert_ok(ex_lane_load(lane, b->params, b->stats));
    const counted c = count_training(b, lane, NULL, EX_NORM_TRAIN);
    ex_lane_destroy(&lane);
    ex_device_close(&device);
    printf("# %-9s bf16 over fp32: %.3f of the FLOP, %.3f of the bytes, %.3f of the launches\n",
           b->model->name, c.flop / fp32->flop, c.bytes / fp32->bytes,
           (double)c.launches / (double)fp32->launches);
    assert_true(near(c.flop, fp32->flop));
    assert_true(c.bytes < 0.65 * fp32->bytes);
    assert_int_equal(c.allocations, 0);
    assert_int_equal(c.waits, fp32->waits);
}

/* Where nothing below the last convolution is trained, no gradient is computed there. */
static void check_the_end(bench *b, const counted *everywhere, long calls, long waits)
{
    ex_mask *mask = mask_of_the_end(b->model);
    const ex_predicted p = ex_predict_step(b->model, BATCH, mask, true);
    const counted c = count_training(b, b->lane, mask, EX_NORM_FROZEN);
    check(b, "16 steps, the last layers, frozen", ex_predict_times(p, STEPS), calls, waits, c);
    assert_true(c.flop < 0.7 * everywhere->flop && 10 * c.launches < 8 * everywhere->launches);
    ex_mask_destroy(&mask);
}

/* A run: samples, labels and state in, its launches, losses and predictions out, one wait at the
 * end. */
static void check_training(bench *b)
{
    enum { COPIES = 5, WAITS = 1 };
    const long calls = COPIES + STEPS / GROUP;
    ex_mask *mask = mask_of(b->model);
    const ex_predicted full = ex_predict_step(b->model, BATCH, NULL, false);
    const ex_predicted masked = ex_predict_step(b->model, BATCH, mask, true);
    const counted c = count_training(b, b->lane, NULL, EX_NORM_TRAIN);
    const counted few = count_training(b, b->lane, mask, EX_NORM_FROZEN);
    check(b, "16 steps, full", ex_predict_times(full, STEPS), calls, WAITS, c);
    check(b, "16 steps, delta 0.05, frozen", ex_predict_times(masked, STEPS), calls, WAITS, few);
    printf("# %-9s masked over full: %.3f of the FLOP, %.3f of the bytes, %.3f of the launches\n",
           b->model->name, few.flop / c.flop, few.bytes / c.bytes,
           (double)few.launches / (double)c.launches);
    check_bf16(b, &c);
    check_the_end(b, &few, calls, WAITS);
    assert_true(few.flop < 0.75 * c.flop && few.bytes < c.bytes && few.launches < c.launches);
    ex_mask_destroy(&mask);
}

/* --- ablation --------------------------------------------------------------------------------- */

/* The whole model for every channel and once more; counted for one of them. */
static counted check_naive(bench *b)
{
    enum { BATCHES = PROBE / BATCH, COPIES = 4, VALUES = 3, WAITS = 1 };
    const long times = b->model->channel_count + 1;
    const ex_samples probe = {.index = b->feed.index, .label = b->feed.label, .count = PROBE};
    const ex_model *m = b->model;
    ex_eval_sums sums = {.logits = b->logits};
    ex_emulated_counts before = {0}, after = {0};
    ex_plan *plan;
    assert_ok(
        ex_plan_create(&plan, b->lane, &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = BATCH}));
    for (int i = 0; i < 3; i++) {
        before = ex_emulated_count();
        assert_ok(ex_lane_load(b->lane, b->params, b->stats));
        assert_ok(ex_plan_evaluate(plan, &b->data, &probe, &sums));
        after = ex_emulated_count();
    }
    ex_plan_destroy(&plan);
    ex_predicted batch = ex_predict_sum(ex_predict_input(m, BATCH), ex_predict_loss(m, BATCH));
    batch = ex_predict_sum(batch, ex_predict_nodes(m, BATCH, 1, m->node_count - 1, false));
    const ex_predicted folds = ex_predict_fold(m);
    const ex_predicted one = ex_predict_sum(folds, ex_predict_times(batch, BATCHES));
    /* Of a batch: gather, graph, loss, logits. */
    const long calls = VALUES + COPIES + folds.launches + 4 * BATCHES;
    const counted c = counted_times(between(&before, &after), times);
    check(b, "ablation, naive", ex_predict_times(one, (double)times), calls * times, WAITS * times,
          c);
    return c;
}

/* By the program's own loop, on one lane: what a chunk costs more, once there were enough for all
 * to be recorded. */
static counted count_chunk(bench *b, ex_strategy_choice strategy, int chunk, int variants)
{
    enum { WARM = 3 };
    const int label = 0;
    const ex_ablate_limits limits = {.chunk = chunk, .variants = variants};
    ex_trainer *lane = NULL;
    ex_data data = {.train = b->data};
    ex_federation f = {.model = b->model,
                       .device = b->device,
                       .data = &data,
                       .params = b->params,
                       .stats = b->stats,
                       .lanes = &lane,
                       .lane_count = 1};
    counted c[3];
    ex_config_default(&f.config);
    f.config.unlearn.strategy = strategy;
    f.config.threads_per_lane = f.config.server.threads = 1;
    for (int i = 0; i < 3; i++) { /* the first one makes lanes */
        const ex_samples probe = {.index = b->feed.index,
                                  .label = b->feed.label,
                                  .count = (size_t)(chunk * (i < 2 ? WARM : WARM + 1))};
        ex_effects *e;
        const ex_emulated_counts before = ex_emulated_count();
        assert_ok(ex_ablate_samples(&e, &f, &probe, &label, 1, limits));
        const ex_emulated_counts after = ex_emulated_count();
        c[i] = between(&before, &after);
        ex_effects_destroy(&e);
    }
    ex_trainer_destroy(&lane);
    ex_trainer_destroy(&f.central);
    return (counted){.launches = c[2].launches - c[1].launches,
                     .calls = c[2].calls - c[1].calls,
                     .waits = c[2].waits - c[1].waits,
                     .allocations = c[2].allocations - c[1].allocations,
                     .depth = c[2].depth - c[1].depth,
                     .flop = c[2].flop - c[1].flop,
                     .bytes = c[2].bytes - c[1].bytes};
}

/* Channel by channel on lanes in turn, so that it is known which lane does what. */
typedef struct ablation {
    bench *b;
    int chunk, variants, lanes;
    ex_plan *from, *to[LANES_MAX];
} ablation;

static void read_lanes(ablation *a, int lanes, int rows)
{
    for (int i = 0; i < lanes; i++)
        assert_ok(ex_plan_logits(a->to[i], a->b->logits, rows));
}

static void fork_layer(ablation *a, int layer, int *at)
{
    const ex_model *m = a->b->model;
    int32_t channel[64];
    int next;
    for (int first = 0; first < m->layers[layer].channels; first += a->variants) {
        const int left = m->layers[layer].channels - first;
        const int count = left < a->variants ? left : a->variants;
        for (int v = 0; v < count; v++)
            channel[v] = first + v;
        const ex_fork f = {
            .layer = layer, .channel = channel, .variants = count, .images = a->chunk};
        ex_plan *to = a->to[*at];
        assert_ok(ex_plan_fork(to, a->from, &f, &next));
        if (next < m->node_count)
            assert_ok(ex_plan_forward(to, next, m->node_count - 1));
        if (++*at == a->lanes) {
            read_lanes(a, *at, count * a->chunk);
            *at = 0;
        }
    }
}

static void run_chunk(ablation *a)
{
    const ex_model *m = a->b->model;
    const ex_samples probe = {
        .index = a->b->feed.index, .label = a->b->feed.label, .count = (size_t)a->chunk};
    int at = 0;
    assert_ok(ex_plan_load(a->from, &a->b->data, &probe));
    assert_ok(ex_plan_forward(a->from, 1, m->node_count - 1));
    assert_ok(ex_plan_logits(a->from, a->b->logits, a->chunk));
    for (int layer = 0; layer < m->layer_count; layer++)
        fork_layer(a, layer, &at);
    read_lanes(a, at, a->chunk);
}

static void open_ablation(ablation *a)
{
    bench *b = a->b;
    ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = a->chunk, .keep_nodes = true};
    assert_ok(ex_plan_create(&a->from, b->lane, &spec));
    spec = (ex_plan_spec){.use = EX_USE_EVALUATE, .batch = a->chunk * a->variants};
    for (int i = 0; i < a->lanes; i++) {
        if (!b->more[i])
            assert_ok(ex_lane_create(&b->more[i], b->device, b->model, 1));
        assert_ok(ex_lane_load(b->more[i], b->params, b->stats));
        assert_ok(ex_plan_create(&a->to[i], b->more[i], &spec));
    }
}

/* A chunk of images: once through the whole model, then each layer's channels in groups. */
static ex_predicted predict_chunk(const ablation *a, long *calls, long *waits)
{
    enum { LOAD = 3, LOGITS = 1 }; /* samples, labels, gather */
    const ex_model *m = a->b->model;
    const int last = m->node_count - 1;
    ex_predicted p =
        ex_predict_sum(ex_predict_input(m, a->chunk), ex_predict_nodes(m, a->chunk, 1, last, true));
    *calls = LOAD + 1 + LOGITS;
    *waits = 1;
    for (int layer = 0; layer < m->layer_count; layer++) {
        for (int first = 0; first < m->layers[layer].channels; first += a->variants) {
            const int left = m->layers[layer].channels - first;
            const int count = left < a->variants ? left : a->variants;
            ex_predicted own,
                all = ex_predict_fork(m, layer, a->chunk, count, a->chunk * a->variants, &own);
            p = ex_predict_sum(p, all);
            *calls += 1 + own.launches + (all.launches > own.launches) + LOGITS;
            ++*waits;
        }
    }
    return p;
}

static counted check_chunks(bench *b, const char *what, const ablation *a, counted one)
{
    const long chunks = PROBE / a->chunk;
    long calls, waits;
    const ex_predicted p = predict_chunk(a, &calls, &waits);
    const counted c = counted_times(one, chunks);
    check(b, what, ex_predict_times(p, (double)chunks), calls * chunks, waits * chunks, c);
    return c;
}

static counted check_strategy(bench *b, const char *what, ex_strategy_choice strategy, int chunk,
                              int variants)
{
    const ablation a = {.b = b, .chunk = chunk, .variants = variants};
    return check_chunks(b, what, &a, count_chunk(b, strategy, chunk, variants));
}

static counted check_lanes(bench *b, const char *what, int chunk, int lanes)
{
    enum { WARM = 2 }; /* queued, captured */
    ablation a = {.b = b, .chunk = chunk, .variants = 1, .lanes = lanes};
    open_ablation(&a);
    for (int i = 0; i < WARM; i++)
        run_chunk(&a);
    const ex_emulated_counts before = ex_emulated_count();
    run_chunk(&a);
    const ex_emulated_counts after = ex_emulated_count();
    ex_plan_destroy(&a.from);
    for (int i = 0; i < lanes; i++)
        ex_plan_destroy(&a.to[i]);
    return check_chunks(b, what, &a, between(&before, &after));
}

static void check_ablation(bench *b)
{
    const counted naive = check_naive(b);
    const ex_strategy_choice batched = EX_STRATEGY_BATCHED, streams = EX_STRATEGY_STREAMS;
    const counted small = check_strategy(b, "ablation, batched, 32 x 4", batched, 32, 4);
    const counted large = check_strategy(b, "ablation, batched, 256 x 4", batched, 256, 4);
    const counted one = check_strategy(b, "ablation, streams, 1 lane", streams, 256, 1);
    const counted four = check_lanes(b, "ablation, streams, 4 lanes", 256, LANES_MAX);
    printf("# %-9s batched over naive: %.3f of the FLOP, %.3f of the bytes\n", b->model->name,
           large.flop / naive.flop, large.bytes / naive.bytes);
    assert_true(large.flop < 0.4 * naive.flop && large.bytes < 0.5 * naive.bytes);
    assert_true(large.launches * 7 < small.launches);
    assert_int_equal(four.launches, one.launches);
    assert_true(four.depth * 5 < one.depth * 2); /* the lanes run side by side */
}

static void check_model(const char *name)
{
    bench b;
    open_bench(&b, name);
    check_training(&b);
    check_ablation(&b);
    close_bench(&b);
}

static void test_resnet20_costs_what_is_predicted(void **state)
{
    (void)state;
    check_model("resnet20");
}

static void test_vgg11_costs_what_is_predicted(void **state)
{
    (void)state;
    check_model("vgg11");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resnet20_costs_what_is_predicted),
        cmocka_unit_test(test_vgg11_costs_what_is_predicted),
    };
    print_head();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
