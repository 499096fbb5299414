#include "small_federation.h"

#include "base/memory.h"
#include "close_call.h"
#include "held_memory.h"
#include "net_fixture.h"
#include "test.h"

#include <stdlib.h>

enum { CLASSES_MAX = 64 };

ex_federation *ex_test_small_federation(int which, int images, int lanes, ex_conv_choice conv)
{
    ex_federation *f;
    ex_trainer *central;
    assert_ok(ex_alloc(&f, 1, sizeof *f, "federation"));
    ex_config_default(&f->config);
    f->config.num_clients = 0; /* there are none */
    f->config.threads_per_lane = f->config.server.threads = 1;
    f->config.unlearn.strategy = EX_STRATEGY_BATCHED;
    ex_test_model(&f->model, which);
    assert_ok(ex_alloc(&f->data, 1, sizeof *f->data, "data"));
    ex_test_images(&f->data->train, f->model, images, 3);
    ex_dataset_changed(&f->data->train);
    assert_ok(ex_alloc(&f->params, f->model->param_count, sizeof *f->params, "parameters"));
    assert_ok(ex_alloc(&f->stats, f->model->stat_count, sizeof *f->stats, "statistics"));
    ex_test_values(f->model, 5, f->params, f->stats);
    const ex_device_options options = {.device = ex_test_device(), .conv = conv};
    assert_ok(ex_device_open(&f->device, &options));
    f->lane_count = lanes;
    assert_ok(ex_alloc(&f->lanes, (size_t)lanes, sizeof *f->lanes, "lanes"));
    assert_ok(ex_federation_lanes(f));
    assert_ok(ex_federation_central(f, &central));
    for (int i = 0; i < lanes; i++)
        ex_test_held_watch(ex_trainer_lane(f->lanes[i]));
    ex_test_held_watch(ex_trainer_lane(central));
    ex_test_held_again();
    return f;
}

ex_status ex_test_small_ablate(ex_effects **out, ex_federation *f, ex_ablate_limits limits)
{
    int labels[CLASSES_MAX];
    ex_samples probe;
    assert_true(f->model->classes <= CLASSES_MAX);
    for (int k = 0; k < f->model->classes; k++)
        labels[k] = k;
    assert_ok(ex_samples_all(&probe, &f->data->train));
    const ex_status status = ex_ablate_samples(out, f, &probe, labels, f->model->classes, limits);
    ex_samples_free(&probe);
    return status;
}

/* Images of a class whose logits without the channel are too close to call. */
static int close_calls(const ex_federation *f, int flat, int label)
{
    const ex_model *m = f->model;
    const ex_dataset *d = &f->data->train;
    const int count = (int)d->count, classes = m->classes;
    const size_t input = d->count * (size_t)(m->in_channels * m->in_height * m->in_width);
    double *values = malloc((m->param_count + m->stat_count) * sizeof *values);
    double *images = malloc(input * sizeof *images);
    double *logits = malloc((size_t)(count * classes) * sizeof *logits);
    ex_samples all;
    const ex_layer *layer = ex_model_layer_of(m, flat);
    int close = 0;
    for (size_t i = 0; i < m->param_count; i++)
        values[i] = (double)f->params[i];
    for (size_t i = 0; i < m->stat_count; i++)
        values[m->param_count + i] = (double)f->stats[i];
    const ex_net net = {.model = m,
                        .params = values,
                        .stats = values + m->param_count,
                        .layer = (int)(layer - m->layers),
                        .channel = flat - layer->first_channel};
    assert_ok(ex_samples_all(&all, d));
    ex_test_input(images, m, d, all.index, count);
    ex_net_loss(&net, images, all.label, count, logits);
    for (int i = 0; i < count; i++) {
        float row[CLASSES_MAX];
        for (int k = 0; k < classes; k++)
            row[k] = (float)logits[i * classes + k];
        close += all.label[i] == label && ex_test_close_call(row, classes, label);
    }
    ex_samples_free(&all);
    free(values);
    free(images);
    free(logits);
    return close;
}

void ex_test_small_same_counts(const ex_federation *f, const ex_effects *a, const ex_effects *b)
{
    const int channels = f->model->channel_count;
    for (int i = 0; i < a->classes * channels; i++) {
        const int difference = abs(a->correct[i] - b->correct[i]);
        if (difference > 0 &&
            difference > close_calls(f, i % channels, a->class_label[i / channels]))
            fail_msg("class %d, channel %d: %d correct, and %d", a->class_label[i / channels],
                     i % channels, a->correct[i], b->correct[i]);
    }
}
