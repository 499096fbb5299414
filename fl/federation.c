/* Opening a federation: data, model, device; lanes on first use; the loop of rounds. */
#include "federation_impl.h"

#include "round_impl.h"
#include "share.h"
#include "strategy.h"

#include "base/log.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- opening -------------------------------------------------------------------------------- */

/* A run brings its configuration to wherever it is used from. */
static void make_absolute(char *dir, size_t room)
{
    char *full = *dir ? realpath(dir, NULL) : NULL;
    if (full && strlen(full) < room)
        memcpy(dir, full, strlen(full) + 1);
    free(full);
}

static ex_status open_data(ex_federation *f)
{
    const ex_config *c = &f->config;
    make_absolute(f->config.data_dir, sizeof f->config.data_dir);
    const ex_data_options options = {
        .dir = c->data_dir[0] ? c->data_dir : NULL,
        .train_limit = c->train_samples,
        .test_limit = c->test_samples,
        .seed = c->seed,
        .mean = c->normalize.mean.value,
        .mean_count = c->normalize.mean.count,
        .std = c->normalize.std.value,
        .std_count = c->normalize.std.count,
        .grey = c->images.color == EX_COLOR_GREY,
        .test_share = c->images.test_share,
        .augment = {.crop = c->augment.crop, .cutout = c->augment.cutout, .flip = c->augment.flip}};
    EX_TRY(ex_data_open(&f->data, c->dataset, &options));
    const int classes = f->data->train.classes;
    if (c->unlearn.class_label >= classes)
        return EX_FAIL(EX_ERR_CONFIG, "unlearn.class is %d, but %s has the classes 0 to %d",
                       c->unlearn.class_label, c->dataset, classes - 1);
    return EX_OK;
}

static ex_status open_model(ex_federation *f)
{
    const ex_dataset *d = &f->data->train;
    const ex_model_shape shape = {
        .classes = d->classes, .channels = d->channels, .height = d->height, .width = d->width};
    EX_TRY(ex_model_create(&f->model, f->config.model, shape));
    EX_TRY(ex_mask_create_full(&f->full, f->model));
    EX_TRY(ex_alloc(&f->params, f->model->param_count, sizeof *f->params, "global model"));
    EX_TRY(ex_alloc(&f->stats, f->model->stat_count, sizeof *f->stats, "global model"));
    if (ex_strategy_of((ex_aggregation)f->config.aggregation)->keeps_velocity)
        EX_TRY(ex_alloc(&f->velocity, f->model->param_count, sizeof *f->velocity, "momentum"));
    ex_model_init(f->model, f->config.seed, f->params, f->stats);
    f->seed = f->config.seed;
    return EX_OK;
}

/* Sums are split by threads, so their number is the configuration's and is not cut here. */
static void warn_of_threads(const ex_federation *f, const char *key, int threads)
{
    if (!ex_device_has_memory(f->device) && threads > f->device->lanes_default)
        ex_log_warn("%s is %d, on %d cores: threads that wait for each other make this many times "
                    "slower",
                    key, threads, f->device->lanes_default);
}

static ex_status open_device(ex_federation *f)
{
    const ex_config *c = &f->config;
    const ex_device_options options = {.device = c->device,
                                       .precision = (ex_precision)c->precision,
                                       .conv = (ex_conv_choice)c->conv,
                                       .memory = c->memory,
                                       .steps_per_launch = c->steps_per_launch};
    EX_TRY(ex_device_open(&f->device, &options));
    warn_of_threads(f, "threads_per_lane", c->threads_per_lane);
    warn_of_threads(f, "server.threads", c->server.threads);
    const int threads = ex_device_has_memory(f->device) ? 1 : c->threads_per_lane;
    const int fill = f->device->lanes_default / threads;
    f->lane_count = c->lanes > 0 ? c->lanes : fill;
    if (f->lane_count > c->num_clients)
        f->lane_count = c->num_clients;
    if (f->lane_count < 1)
        f->lane_count = 1;
    return ex_alloc(&f->lanes, (size_t)f->lane_count, sizeof *f->lanes, "lanes");
}

ex_status ex_federation_open_alone(ex_federation **out, const ex_config *config)
{
    ex_federation *f;
    ex_status status;
    EX_TRY(ex_alloc(&f, 1, sizeof *f, "federation"));
    f->config = *config;
    EX_TRY_GOTO(open_data(f), fail);
    EX_TRY_GOTO(open_model(f), fail);
    EX_TRY_GOTO(ex_federation_split(f), fail);
    EX_TRY_GOTO(ex_ledger_create(&f->ledger), fail);
    EX_TRY_GOTO(open_device(f), fail);
    *out = f;
    return EX_OK;
fail:
    ex_federation_close(&f);
    return status;
}

ex_status ex_federation_open(ex_federation **out, const ex_config *config)
{
    const ex_comm_options alone = {.ranks = {.size = 1}, .name = "local", .device = ""};
    *out = NULL;
    EX_TRY(ex_federation_open_alone(out, config));
    const ex_status status = ex_comm_create(&(*out)->comm, &alone);
    if (status != EX_OK)
        ex_federation_close(out);
    return status;
}

void ex_federation_close(ex_federation **out)
{
    ex_federation *f = *out;
    if (!f)
        return;
    for (int i = 0; f->lanes && i < f->lane_count; i++)
        ex_trainer_destroy(&f->lanes[i]);
    ex_free(&f->lanes);
    ex_round_room_free(&f->room);
    ex_trainer_destroy(&f->central);
    for (int k = 0; f->clients && k < f->config.num_clients; k++)
        ex_samples_free(&f->clients[k]);
    ex_free(&f->clients);
    ex_samples_free(&f->server);
    ex_share_destroy(&f->share, f->config.num_clients);
    ex_share_dismiss(&f->comm);
    ex_ledger_destroy(&f->ledger);
    ex_mask_destroy(&f->full);
    ex_free(&f->params);
    ex_free(&f->stats);
    ex_free(&f->velocity);
    ex_device_close(&f->device);
    ex_model_destroy(&f->model);
    ex_data_close(&f->data);
    ex_free(out);
}

/* --- lanes ---------------------------------------------------------------------------------- */

static ex_status open_lane(ex_trainer **out, const ex_federation *f, int threads)
{
    ex_lane *lane;
    EX_TRY(ex_lane_create(&lane, f->device, f->model, threads));
    const ex_status status = ex_trainer_create(out, lane);
    if (status != EX_OK)
        ex_lane_destroy(&lane);
    return status;
}

static void keep_lanes(ex_federation *f, int lanes)
{
    for (int i = lanes; i < f->lane_count; i++)
        ex_trainer_destroy(&f->lanes[i]);
    f->lane_count = lanes;
    ex_log("%d lane%s: the memory of %s holds no more", lanes, lanes == 1 ? "" : "s",
           f->device->name);
}

/* Whether one more fits, beside one for the server and images that are yet to come. */
static ex_status has_room(const ex_federation *f, bool *room)
{
    const ex_dataset *d = &f->data->test;
    const size_t images = d->count * (size_t)d->channels * (size_t)d->height * (size_t)d->width;
    size_t left;
    EX_TRY(ex_device_memory_left(f->device, &left));
    const size_t others = f->central ? 1 : 2;
    *room = left > images && (left - images) / others >= f->lane_bytes + f->setup_bytes;
    return EX_OK;
}

static ex_status ready_lane(ex_federation *f, int i, ex_lane_setup setup, void *context)
{
    if (!f->lanes[i])
        EX_TRY(open_lane(&f->lanes[i], f, f->config.threads_per_lane));
    return setup ? setup(context, f->lanes[i]) : EX_OK;
}

/* The next one will take about as much. With the first came what all of them share, such as the
 * images and what libraries load, so that the second is let in with room to spare. */
static ex_status measure_lane(ex_federation *f, int i, ex_lane_setup setup, void *context)
{
    const bool is_new = !f->lanes[i];
    size_t before, after;
    EX_TRY(ex_device_memory_left(f->device, &before));
    EX_TRY(ready_lane(f, i, setup, context));
    EX_TRY(ex_device_memory_left(f->device, &after));
    const size_t took = before > after ? before - after : 0;
    if (is_new)
        f->lane_bytes = took;
    else if (took > f->setup_bytes) /* plans that were dropped are made again */
        f->setup_bytes = took;
    return EX_OK;
}

/* Lane `fit` did not fit. */
static ex_status without_lane(ex_federation *f, int fit)
{
    char why[512];
    snprintf(why, sizeof why, "%s", ex_error_message());
    if (f->config.lanes > 0)
        return EX_FAIL(EX_ERR_MEMORY,
                       "lanes is %d, but the memory of %s holds %d; lower lanes, or leave it at 0 "
                       "(%s)",
                       f->config.lanes, f->device->name, fit, why);
    keep_lanes(f, fit);
    return EX_OK;
}

ex_status ex_federation_lanes_with(ex_federation *f, ex_lane_setup setup, void *context)
{
    EX_TRY(measure_lane(f, 0, setup, context));
    for (int i = 1; i < f->lane_count; i++) {
        bool room = true;
        if (!f->lanes[i] && f->config.lanes == 0)
            EX_TRY(has_room(f, &room));
        if (!room) {
            keep_lanes(f, i);
            return EX_OK;
        }
        const ex_status status = measure_lane(f, i, setup, context);
        if (status == EX_ERR_MEMORY && ex_device_has_memory(f->device))
            return without_lane(f, i);
        EX_TRY(status);
    }
    return EX_OK;
}

ex_status ex_federation_lanes(ex_federation *f)
{
    return ex_federation_lanes_with(f, NULL, NULL);
}

bool ex_federation_fewer_lanes(ex_federation *f)
{
    if (f->config.lanes > 0 || f->lane_count < 2 || !ex_device_has_memory(f->device))
        return false;
    keep_lanes(f, f->lane_count / 2);
    return true;
}

void ex_federation_drop_plans(ex_federation *f)
{
    for (int i = 0; i < f->lane_count; i++)
        if (f->lanes[i])
            ex_trainer_drop_plans(f->lanes[i]);
    if (f->central)
        ex_trainer_drop_plans(f->central);
}

ex_status ex_federation_central(ex_federation *f, ex_trainer **out)
{
    if (!f->central)
        EX_TRY(open_lane(&f->central, f, f->config.server.threads));
    *out = f->central;
    return ex_lane_load(ex_trainer_lane(f->central), f->params, f->stats);
}

void ex_federation_halt(ex_federation *f)
{
    if (f->velocity)
        memset(f->velocity, 0, f->model->param_count * sizeof *f->velocity);
}

/* --- training ------------------------------------------------------------------------------- */

ex_status ex_federation_train(ex_federation *f, const ex_samples *clients, int first_round,
                              ex_round_callback after, void *context)
{
    for (int number = first_round; number < f->config.rounds; number++) {
        if (ex_interrupted())
            return EX_FAIL(EX_ERR_INTERRUPTED, "interrupted by a signal before round %d of %d",
                           number + 1, f->config.rounds);
        const ex_round round = {.number = number,
                                .clients = clients,
                                .norm = EX_NORM_TRAIN,
                                .lr = f->config.lr,
                                .local_epochs = f->config.local_epochs};
        ex_round_result result;
        EX_TRY(ex_federation_round(f, &round, &result));
        if (after) {
            ex_interrupt_hold(); /* a round whose training is complete is not lost */
            const ex_status status = after(context, f, number, &result);
            ex_interrupt_release();
            EX_TRY(status);
        }
    }
    return EX_OK;
}
