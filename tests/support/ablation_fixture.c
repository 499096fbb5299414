#include "ablation_fixture.h"

#include "base/memory.h"
#include "close_call.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ex_test_ablation ex_test_ablation_open(const char *model, int lanes, const int *labels,
                                       int label_count, int probe)
{
    ex_test_ablation b = {0};
    ex_config c;
    ex_config_default(&c);
    snprintf(c.dataset, sizeof c.dataset, "synthetic");
    snprintf(c.model, sizeof c.model, "%s", model);
    snprintf(c.device, sizeof c.device, "cpu");
    c.train_samples = 400, c.test_samples = 100;
    c.server.samples = 200;
    c.num_clients = 2, c.rounds = 1, c.local_epochs = 2, c.batch_size = 20;
    c.lr = 0.02; /* right by narrow margins, so that channels matter */
    c.lanes = lanes, c.server.threads = 1;
    c.conv = EX_CONV_DIRECT; /* timing chooses nothing: two federations compute the same */
    assert_ok(ex_federation_open(&b.f, &c));
    assert_ok(ex_ledger_begin(b.f->ledger, "train"));
    if (strncmp(model, "resnet20", 8) == 0) /* the others are left as they were initialised: time */
        assert_ok(ex_federation_train(b.f, b.f->clients, 0, NULL, NULL));
    ex_ledger_end(b.f->ledger);
    assert_ok(ex_probe_make(&b.probe, b.f, labels, label_count, probe));
    assert_ok(ex_alloc(&b.logits, b.probe.count * 10, sizeof *b.logits, "logits"));
    assert_ok(ex_alloc(&b.params, b.f->model->param_count, sizeof *b.params, "params"));
    const ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = (int)b.probe.count};
    assert_ok(ex_lane_create(&b.lane, b.f->device, b.f->model, 1));
    assert_ok(ex_plan_create(&b.plan, b.lane, &spec));
    return b;
}

void ex_test_ablation_close(ex_test_ablation *b)
{
    ex_samples_free(&b->probe);
    ex_free(&b->logits);
    ex_free(&b->params);
    ex_plan_destroy(&b->plan);
    ex_lane_destroy(&b->lane);
    ex_federation_close(&b->f);
}

ex_effects *ex_test_ablation_measure(ex_test_ablation *b, ex_strategy_choice strategy,
                                     ex_ablation ablation, const int *labels, int label_count,
                                     ex_ablate_limits limits)
{
    ex_effects *e;
    b->f->config.unlearn.strategy = strategy;
    b->f->config.unlearn.ablate = ablation;
    assert_ok(ex_ablate_samples(&e, b->f, &b->probe, labels, label_count, limits));
    return e;
}

void ex_test_ablation_define(ex_test_ablation *b, int flat)
{
    const ex_model *m = b->f->model;
    memcpy(b->params, b->f->params, m->param_count * sizeof *b->params);
    const ex_layer *l = ex_model_layer_of(m, flat);
    const size_t c = (size_t)(flat - l->first_channel);
    for (size_t i = 0; i < l->row; i++)
        b->params[l->weight + c * l->row + i] = 0.0f;
    if (l->bias != EX_NONE)
        b->params[l->bias + c] = 0.0f;
    ex_eval_sums sums = {.logits = b->logits};
    assert_ok(ex_lane_load(b->lane, b->params, b->f->stats));
    assert_ok(ex_plan_evaluate(b->plan, &b->f->data->train, &b->probe, &sums));
}

/* Of the class's images in b->logits: how many are right, and how many are too close to call. */
static void judge(const ex_test_ablation *b, int label, int *correct, int *close, double *loss)
{
    *correct = *close = 0;
    *loss = 0.0;
    int count = 0;
    for (size_t i = 0; i < b->probe.count; i++) {
        if (b->probe.label[i] != label)
            continue;
        const float *row = b->logits + i * 10;
        float rival = -INFINITY;
        double sum = 0.0;
        for (int k = 0; k < 10; k++) {
            sum += exp((double)row[k] - (double)row[label]);
            if (k != label && row[k] > rival)
                rival = row[k];
        }
        *correct += row[label] > rival;
        *close += ex_test_close_call(row, 10, label);
        *loss += log(sum);
        count++;
    }
    *loss /= count;
}

void ex_test_ablation_cell(ex_test_ablation *b, const ex_effects *e, int class_index, int flat)
{
    int correct, close;
    double loss;
    const int cell = class_index * e->model->channel_count + flat;
    judge(b, e->class_label[class_index], &correct, &close, &loss);
    if (abs(e->correct[cell] - correct) > close)
        fail_msg("class %d, channel %d: %d correct, %d by the definition with %d close calls",
                 e->class_label[class_index], flat, e->correct[cell], correct, close);
    const double found = e->baseline_loss[class_index] + e->loss_delta[cell];
    if (!(fabs(found - loss) <= EX_TEST_LOSS_ROUNDING * (1.0 + loss)))
        fail_msg("class %d, channel %d: loss %.8g, %.8g by the definition",
                 e->class_label[class_index], flat, found, loss);
}

bool ex_test_ablation_differ(ex_effects *const *tables, int count, int classes, int flat)
{
    for (int t = 1; t < count; t++)
        for (int i = 0; i < classes; i++) {
            const int cell = i * tables[0]->model->channel_count + flat;
            const double loss = tables[0]->loss_delta[cell];
            if (tables[t]->correct[cell] != tables[0]->correct[cell] ||
                !(fabs(tables[t]->loss_delta[cell] - loss) <=
                  EX_TEST_LOSS_ROUNDING * (1.0 + fabs(loss))))
                return true;
        }
    return false;
}
