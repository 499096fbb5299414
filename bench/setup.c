/* What a benchmark runs on: images in memory, a model that was trained for a moment, a device. */
#include "bench.h"

#include "base/memory.h"
#include "data/synthetic.h"

#include <stdio.h>

/* A few steps, so that running statistics and predictions are not those of noise; small batches,
 * which cost little. */
enum { TRAIN_STEPS = 12, TRAIN_BATCH = 32, SYNTHETIC_SIDE = 16, SYNTHETIC_CHANNELS = 3 };
static const float TRAIN_LR = 0.02f;

/* Each synthetic pixel becomes four; 28 x 28 is the middle of the 32 x 32 that this gives. */
static void enlarge(uint8_t *out, const uint8_t *in, int side)
{
    const int border = (2 * SYNTHETIC_SIDE - side) / 2;
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++)
            *out++ = in[(y + border) / 2 * SYNTHETIC_SIDE + (x + border) / 2];
}

static ex_status make_images(ex_dataset *d, bench_shape shape, size_t count)
{
    ex_status status;
    ex_dataset small = {0};
    d->channels = shape == BENCH_CIFAR ? 3 : 1;
    d->height = d->width = shape == BENCH_CIFAR ? 32 : 28;
    const size_t plane = (size_t)d->height * (size_t)d->width;
    const size_t small_plane = SYNTHETIC_SIDE * SYNTHETIC_SIDE;
    EX_TRY_GOTO(ex_synthetic_make(&small, count, 0), done);
    EX_TRY_GOTO(ex_alloc(&d->images, count * (size_t)d->channels, plane, "images"), done);
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < (size_t)d->channels; c++)
            enlarge(d->images + (i * (size_t)d->channels + c) * plane,
                    small.images + (i * SYNTHETIC_CHANNELS + c) * small_plane, d->height);
    snprintf(d->name, sizeof d->name, "synthetic");
    d->classes = small.classes;
    d->count = count;
    for (int c = 0; c < d->channels; c++)
        d->mean[c] = 0.5f, d->std[c] = 0.25f;
    d->labels = small.labels;
    small.labels = NULL;
done:
    ex_dataset_close(&small);
    return status;
}

/* Random values stay good enough to be timed, but say nothing of a class. */
static ex_status train(ex_federation *f)
{
    ex_status status;
    ex_trainer *central;
    ex_samples all = {0};
    EX_TRY(ex_federation_central(f, &central));
    EX_TRY_GOTO(ex_samples_all(&all, &f->data->train), done);
    const size_t steps = (all.count + TRAIN_BATCH - 1) / TRAIN_BATCH;
    const ex_fit fit = {.data = &f->data->train,
                        .samples = &all,
                        .epochs = (int)((TRAIN_STEPS + steps - 1) / steps),
                        .batch_size = TRAIN_BATCH,
                        .sgd = {.lr = TRAIN_LR, .momentum = 0.9f, .weight_decay = 5e-4f},
                        .norm = EX_NORM_TRAIN};
    ex_train_sums sums = {0};
    EX_TRY_GOTO(ex_trainer_fit(central, &fit, &sums, NULL), done);
    status = ex_lane_store(ex_trainer_lane(central), f->params, f->stats);
done:
    ex_samples_free(&all);
    return status;
}

static ex_status open_model(ex_federation *f, const bench_options *o)
{
    const ex_dataset *d = &f->data->train;
    const ex_model_shape shape = {d->classes, d->channels, d->height, d->width};
    EX_TRY(ex_model_create(&f->model, o->model, shape));
    EX_TRY(ex_alloc(&f->params, f->model->param_count, sizeof *f->params, "model"));
    EX_TRY(ex_alloc(&f->stats, f->model->stat_count, sizeof *f->stats, "model"));
    ex_model_init(f->model, f->config.seed, f->params, f->stats);
    return EX_OK;
}

static ex_status open_device(ex_federation *f, const bench_options *o, size_t memory)
{
    const ex_device_options options = {.device = o->device,
                                       .precision = (ex_precision)o->precision,
                                       .conv = (ex_conv_choice)o->conv,
                                       .memory = memory};
    EX_TRY(ex_device_open(&f->device, &options));
    f->config.lanes = f->lane_count = o->lanes;
    return ex_alloc(&f->lanes, (size_t)f->lane_count, sizeof *f->lanes, "lanes");
}

ex_status bench_open(ex_federation **out, const bench_options *o, size_t images)
{
    ex_federation *f;
    ex_status status;
    *out = NULL;
    EX_TRY(ex_alloc(&f, 1, sizeof *f, "federation"));
    ex_config_default(&f->config);
    f->config.num_clients = 0; /* there are none */
    f->config.server.threads = o->threads;
    f->config.threads_per_lane = 1;
    f->config.unlearn.strategy = o->strategy;
    EX_TRY_GOTO(ex_alloc(&f->data, 1, sizeof *f->data, "data"), fail);
    EX_TRY_GOTO(make_images(&f->data->train, (bench_shape)o->shape, images), fail);
    EX_TRY_GOTO(open_model(f, o), fail);
    EX_TRY_GOTO(open_device(f, o, 0), fail);
    EX_TRY_GOTO(train(f), fail);
    if (o->memory) { /* which the training's plans are no part of */
        ex_trainer_destroy(&f->central);
        ex_device_close(&f->device);
        ex_free(&f->lanes);
        EX_TRY_GOTO(open_device(f, o, o->memory), fail);
    }
    *out = f;
    return EX_OK;
fail:
    ex_federation_close(&f);
    return status;
}

/* --- what results are held against ----------------------------------------------------------- */

void bench_close_fp32(ex_federation **other)
{
    ex_federation *f = *other;
    if (!f)
        return;
    f->data = NULL; /* the first one's */
    f->model = NULL;
    f->params = f->stats = NULL;
    ex_federation_close(other);
}

ex_status bench_open_fp32(ex_federation **out, const ex_federation *f, const bench_options *o)
{
    ex_federation *other;
    bench_options options = *o;
    *out = NULL;
    options.device = f->device->name;
    options.precision = EX_FP32;
    EX_TRY(ex_alloc(&other, 1, sizeof *other, "federation"));
    other->config = f->config;
    other->config.server.threads = o->threads;
    other->data = f->data;
    other->model = f->model;
    other->params = f->params;
    other->stats = f->stats;
    const ex_status status = open_device(other, &options, 0);
    if (status != EX_OK)
        bench_close_fp32(&other);
    *out = other;
    return status;
}
