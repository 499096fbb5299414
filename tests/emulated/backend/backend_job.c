#include "backend_job.h"

#include "base/memory.h"
#include "device/device.h"
#include "test.h"

#include <string.h>

static const ex_sgd_coeff SGD = {.lr = 0.05f, .momentum = 0.9f, .weight_decay = 5e-4f};

enum { SAMPLES = JOB_BATCH * JOB_STEPS };

void backend_job_open(backend_job *job, int which, int lanes)
{
    *job = (backend_job){.lanes = lanes};
    ex_test_model(&job->model, which);
    const ex_model *m = job->model;
    for (int i = 0; i < m->node_count; i++)
        if (m->nodes[i].op == EX_OP_LINEAR)
            job->model->nodes[i].dropout = 0.25f;
    ex_test_images(&job->data, m, SAMPLES, 11);
    job->data.augment = (ex_augmentation){.crop = 1, .cutout = 2, .flip = true};
    assert_ok(ex_samples_all(&job->feed, &job->data));
    job->params = ex_guard_floats(m->param_count);
    job->stats = ex_guard_floats(m->stat_count + 1);
    ex_test_values(m, 5, job->params, job->stats);
    assert_ok(ex_mask_create(&job->mask, m));
    for (int layer = 1; layer < m->layer_count; layer++)
        assert_ok(ex_mask_select(job->mask, layer, m->layers[layer].channels - 1));
    assert_ok(ex_mask_seal(job->mask));
}

void backend_job_close(backend_job *job)
{
    ex_mask_destroy(&job->mask);
    ex_guard_free(job->params);
    ex_guard_free(job->stats);
    ex_samples_free(&job->feed);
    ex_dataset_close(&job->data);
    ex_model_destroy(&job->model);
}

void backend_result_open(backend_result *r, const backend_job *job)
{
    const ex_model *m = job->model;
    const size_t classes = (size_t)m->classes;
    *r = (backend_result){0};
    r->params = ex_guard_floats(m->param_count);
    r->stats = ex_guard_floats(m->stat_count + 1);
    r->velocity = ex_guard_floats(m->param_count);
    r->masked = ex_guard_floats(m->param_count);
    r->gradient = ex_guard_floats(m->param_count);
    r->input = ex_guard_floats((size_t)(JOB_BATCH * m->in_channels * m->in_height * m->in_width));
    r->logits = ex_guard_floats(SAMPLES * classes);
    r->forked = ex_guard_floats(JOB_VARIANTS * JOB_BATCH * classes);
}

void backend_result_close(backend_result *r)
{
    ex_guard_free(r->params);
    ex_guard_free(r->stats);
    ex_guard_free(r->velocity);
    ex_guard_free(r->masked);
    ex_guard_free(r->gradient);
    ex_guard_free(r->input);
    ex_guard_free(r->logits);
    ex_guard_free(r->forked);
}

typedef struct run {
    const backend_job *job;
    ex_device *device;
    ex_lane *lane[JOB_LANES_MAX];
    ex_plan *train[JOB_LANES_MAX], *masked, *from, *to;
    backend_result *r;
} run;

static ex_status train(run *w)
{
    const backend_job *job = w->job;
    const ex_plan_spec spec = {.use = EX_USE_TRAIN, .batch = JOB_BATCH, .input_gradient = true};
    for (int i = 0; i < job->lanes; i++) {
        EX_TRY(ex_lane_load(w->lane[i], job->params, job->stats));
        EX_TRY(ex_plan_create(&w->train[i], w->lane[i], &spec));
        w->train[i]->key = (ex_rng_key){.seed = 7, .client = 2, .round = 3, .epoch = 1};
    }
    for (int i = 0; i < job->lanes; i++) {
        w->r->trained = (ex_train_sums){0};
        EX_TRY(ex_plan_train(w->train[i], &job->data, &job->feed, &SGD, &w->r->trained));
    }
    const ex_samples batch = {
        .index = job->feed.index, .label = job->feed.label, .count = JOB_BATCH};
    EX_TRY(ex_plan_gradient(w->train[0], &job->data, &batch,
                            &(ex_gradient){.params = w->r->gradient, .input = w->r->input}));
    EX_TRY(ex_lane_store(w->lane[job->lanes - 1], w->r->params, w->r->stats));
    return ex_lane_store_velocity(w->lane[job->lanes - 1], w->r->velocity);
}

static ex_status train_masked(run *w)
{
    const backend_job *job = w->job;
    const ex_plan_spec spec = {.use = EX_USE_TRAIN, .batch = JOB_BATCH, .mask = job->mask};
    float *stats = w->r->stats, *kept;
    ex_train_sums sums = {0};
    ex_status status;
    EX_TRY(ex_alloc(&kept, job->model->stat_count + 1, sizeof *kept, "statistics"));
    memcpy(kept, stats, job->model->stat_count * sizeof *kept);
    EX_TRY_GOTO(ex_lane_load(w->lane[0], job->params, job->stats), done);
    EX_TRY_GOTO(ex_plan_create(&w->masked, w->lane[0], &spec), done);
    EX_TRY_GOTO(ex_plan_train(w->masked, &job->data, &job->feed, &SGD, &sums), done);
    EX_TRY_GOTO(ex_lane_store(w->lane[0], w->r->masked, stats), done);
    memcpy(stats, kept, job->model->stat_count * sizeof *kept);
done:
    ex_free(&kept);
    return status;
}

static ex_status evaluate(run *w)
{
    const backend_job *job = w->job;
    const int lanes = job->lanes, last = job->model->node_count - 1;
    const int32_t channel[JOB_VARIANTS] = {1, -1, 0};
    const ex_fork fork = {
        .layer = 1, .channel = channel, .variants = JOB_VARIANTS, .images = JOB_BATCH};
    const ex_samples batch = {
        .index = job->feed.index, .label = job->feed.label, .count = JOB_BATCH};
    int next;
    ex_lane *from = w->lane[0], *to = w->lane[lanes - 1];
    for (int i = 0; i < lanes; i++)
        EX_TRY(ex_lane_load(w->lane[i], job->params, job->stats));
    EX_TRY(ex_plan_create(
        &w->from, from,
        &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = JOB_BATCH + 2, .keep_nodes = true}));
    EX_TRY(ex_plan_create(
        &w->to, to, &(ex_plan_spec){.use = EX_USE_EVALUATE, .batch = JOB_BATCH * JOB_VARIANTS}));
    w->r->evaluated = (ex_eval_sums){.logits = w->r->logits};
    EX_TRY(ex_plan_evaluate(w->from, &job->data, &job->feed, &w->r->evaluated));
    EX_TRY(ex_plan_load(w->from, &job->data, &batch));
    EX_TRY(ex_plan_forward(w->from, 1, last));
    EX_TRY(ex_plan_fork(w->to, w->from, &fork, &next));
    EX_TRY(ex_plan_forward(w->to, next, last));
    return ex_plan_logits(w->to, w->r->forked, JOB_VARIANTS * JOB_BATCH);
}

ex_status backend_job_run(const backend_job *job, const char *device, backend_result *r)
{
    run w = {.job = job, .r = r};
    ex_status status;
    const ex_device_options options = {.device = device,
                                       .precision = job->precision,
                                       .conv = job->timed ? EX_CONV_AUTO : EX_CONV_DIRECT};
    EX_TRY_GOTO(ex_device_open(&w.device, &options), done);
    for (int i = 0; i < job->lanes; i++)
        EX_TRY_GOTO(ex_lane_create(&w.lane[i], w.device, job->model, 1), done);
    if (!job->untrained) {
        EX_TRY_GOTO(train(&w), done);
        EX_TRY_GOTO(train_masked(&w), done);
    }
    EX_TRY_GOTO(evaluate(&w), done);
done:
    r->calls = ex_emulated_count().calls;
    ex_plan_destroy(&w.masked);
    ex_plan_destroy(&w.from);
    ex_plan_destroy(&w.to);
    for (int i = 0; i < JOB_LANES_MAX; i++) {
        ex_plan_destroy(&w.train[i]);
        ex_lane_destroy(&w.lane[i]);
    }
    ex_device_close(&w.device);
    return status;
}
