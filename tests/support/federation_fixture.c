#include "federation_fixture.h"

#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ex_config ex_test_config(void)
{
    ex_config c;
    ex_config_default(&c);
    snprintf(c.dataset, sizeof c.dataset, "synthetic");
    snprintf(c.model, sizeof c.model, "resnet20");
    snprintf(c.device, sizeof c.device, "cpu");
    c.conv = EX_CONV_DIRECT; /* timing chooses nothing, so that two federations compute alike */
    c.seed = 3;
    c.train_samples = 200;
    c.test_samples = 100;
    c.server.samples = 40;
    c.num_clients = 4;
    c.clients_per_round = 0;
    c.rounds = 2;
    c.local_epochs = 1;
    c.batch_size = 16;
    c.lr = 0.05;
    c.lanes = 1;
    return c;
}

ex_federation *ex_test_federation(const ex_config *c)
{
    ex_federation *f;
    assert_ok(ex_federation_open(&f, c));
    assert_ok(ex_ledger_begin(f->ledger, "train"));
    return f;
}

ex_round ex_test_round(const ex_federation *f, int number)
{
    return (ex_round){.number = number,
                      .clients = f->clients,
                      .norm = EX_NORM_TRAIN,
                      .lr = f->config.lr,
                      .local_epochs = f->config.local_epochs};
}

ex_mask *ex_test_mask(const ex_model *model)
{
    ex_mask *mask;
    assert_ok(ex_mask_create(&mask, model));
    for (int layer = 0; layer < model->layer_count; layer++)
        assert_ok(ex_mask_select(mask, layer, layer % 10));
    assert_ok(ex_mask_seal(mask));
    return mask;
}

ex_test_values ex_test_values_copy(const ex_federation *f)
{
    const size_t p = f->model->param_count * sizeof(float),
                 s = f->model->stat_count * sizeof(float);
    const ex_test_values v = {malloc(p), malloc(s)};
    memcpy(v.params, f->params, p);
    memcpy(v.stats, f->stats, s);
    return v;
}

void ex_test_values_free(ex_test_values *v)
{
    free(v->params);
    free(v->stats);
}

void ex_test_values_same(const ex_federation *f, const ex_test_values *v)
{
    assert_memory_equal(f->params, v->params, f->model->param_count * sizeof(float));
    assert_memory_equal(f->stats, v->stats, f->model->stat_count * sizeof(float));
}
