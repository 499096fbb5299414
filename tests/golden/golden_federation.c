#include "golden_federation.h"

#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void open_federation(ex_golden_setting *s, ex_conv_choice conv, int lanes)
{
    ex_config c;
    ex_config_default(&c);
    snprintf(c.dataset, sizeof c.dataset, "synthetic");
    snprintf(c.model, sizeof c.model, "resnet20");
    snprintf(c.device, sizeof c.device, "%s",
             getenv("EXCISE_TEST_DEVICE") ? getenv("EXCISE_TEST_DEVICE") : "cpu");
    c.conv = conv;
    c.lanes = lanes;
    c.train_samples = EX_GOLDEN_POOL;
    c.test_samples = 10;
    c.server.samples = 100;
    c.server.threads = 1;
    c.num_clients = EX_GOLDEN_CLIENTS;
    c.batch_size = EX_GOLDEN_SHARES;
    c.momentum = (double)s->net.sgd.momentum;
    c.weight_decay = (double)s->net.sgd.weight_decay;
    assert_ok(ex_federation_open(&s->f, &c));
    ex_dataset *train = &s->f->data->train;
    assert_int_equal(train->channels * train->height * train->width,
                     EX_GOLDEN_CHANNELS * EX_GOLDEN_SIZE * EX_GOLDEN_SIZE);
    memcpy(train->mean, s->net.data.mean, sizeof train->mean);
    memcpy(train->std, s->net.data.std, sizeof train->std);
    assert_int_equal(s->net.model->param_count, s->f->model->param_count);
}

void ex_golden_setting_open(ex_golden_setting *s, ex_conv_choice conv, int lanes)
{
    ex_golden_net_open(&s->net, "resnet20_small", "resnet20", EX_GOLDEN_CHANNELS, EX_GOLDEN_SIZE);
    open_federation(s, conv, lanes);
    const ex_model *m = s->f->model;
    memcpy(s->f->params, s->net.params, m->param_count * sizeof(float));
    memcpy(s->f->stats, s->net.stats, m->stat_count * sizeof(float));
    assert_ok(ex_ledger_begin(s->f->ledger, "golden"));
}

void ex_golden_setting_close(ex_golden_setting *s)
{
    ex_ledger_end(s->f->ledger);
    ex_federation_close(&s->f);
    ex_golden_net_close(&s->net);
}
