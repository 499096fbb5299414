#include "net_fixture.h"

#include "test.h"

#include <stdlib.h>

const char *ex_test_device(void)
{
    const char *device = getenv("EXCISE_TEST_DEVICE");
    return device ? device : "cpu";
}

void ex_net_fixture_open(ex_net_fixture *f, int which, int batch, int threads, ex_conv_choice conv)
{
    ex_net_fixture_open_as(f, which, batch, threads, conv, EX_FP32);
}

void ex_net_fixture_open_as(ex_net_fixture *f, int which, int batch, int threads,
                            ex_conv_choice conv, ex_precision precision)
{
    *f = (ex_net_fixture){.batch = batch};
    ex_test_model(&f->model, which);
    const ex_model *m = f->model;
    ex_test_images(&f->data, m, batch, 3);
    assert_ok(ex_samples_all(&f->feed, &f->data));
    const ex_device_options options = {
        .device = ex_test_device(), .precision = precision, .conv = conv};
    assert_ok(ex_device_open(&f->device, &options));
    assert_ok(ex_lane_create(&f->lane, f->device, m, threads));
    f->params = malloc(m->param_count * sizeof(float));
    f->stats = malloc((m->stat_count + 1) * sizeof(float));
    f->dparams = malloc(m->param_count * sizeof(double));
    f->dstats = malloc((m->stat_count + 1) * sizeof(double));
    f->input =
        malloc((size_t)(batch * m->in_channels * m->in_height * m->in_width) * sizeof(double));
    ex_test_values(m, 5, f->params, f->stats);
    for (size_t i = 0; i < m->param_count; i++)
        f->dparams[i] = (double)f->params[i];
    for (size_t i = 0; i < m->stat_count; i++)
        f->dstats[i] = (double)f->stats[i];
    ex_test_input(f->input, m, &f->data, f->feed.index, batch);
    assert_ok(ex_lane_load(f->lane, f->params, f->stats));
}

void ex_net_fixture_close(ex_net_fixture *f)
{
    ex_lane_destroy(&f->lane);
    ex_device_close(&f->device);
    ex_model_destroy(&f->model);
    ex_dataset_close(&f->data);
    ex_samples_free(&f->feed);
    free(f->params);
    free(f->stats);
    free(f->dparams);
    free(f->dstats);
    free(f->input);
}

ex_net ex_net_fixture_net(const ex_net_fixture *f, bool batch_statistics)
{
    return (ex_net){.model = f->model,
                    .params = f->dparams,
                    .stats = f->dstats,
                    .batch_statistics = batch_statistics,
                    .layer = -1};
}
