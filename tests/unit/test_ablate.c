/* Effects by ablation: every strategy gives what the definition says, channel by channel. */
#include "ablate.h"
#include "base/memory.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Kernels sum in another order for another batch size; what that may change in a loss. */
static const double ROUNDING = 2e-4;
/* Two logits that are closer than this may change places. */
static const float TIE = 1e-4f;

typedef struct bench {
    ex_federation *f;
    ex_samples probe;
    float *logits; /* (probe, classes) of the reference */
    float *params; /* a copy to prune */
    ex_lane *lane; /* of the reference */
    ex_plan *plan; /* for the whole probe set at once: nothing is padded */
} bench;

static bench open_bench(const char *model, int lanes, const int *labels, int label_count, int probe)
{
    bench b = {0};
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

static void close_bench(bench *b)
{
    ex_samples_free(&b->probe);
    ex_free(&b->logits);
    ex_free(&b->params);
    ex_plan_destroy(&b->plan);
    ex_lane_destroy(&b->lane);
    ex_federation_close(&b->f);
}

static ex_effects *measure(bench *b, ex_strategy_choice strategy, ex_ablation ablation,
                           const int *labels, int label_count, ex_ablate_limits limits)
{
    ex_effects *e;
    b->f->config.unlearn.strategy = strategy;
    b->f->config.unlearn.ablate = ablation;
    assert_ok(ex_ablate_samples(&e, b->f, &b->probe, labels, label_count, limits));
    return e;
}

/* Fills b->logits by the definition: the channel's filter and bias are zero, the whole model runs.
 */
static void prune_and_run(bench *b, int flat)
{
    const ex_model *m = b->f->model;
    memcpy(b->params, b->f->params, m->param_count * sizeof *b->params);
    int layer = 0;
    while (layer + 1 < m->layer_count && m->layers[layer + 1].first_channel <= flat)
        layer++;
    const ex_layer *l = &m->layers[layer];
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
static void judge(const bench *b, int label, int *correct, int *close, double *loss)
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
        *close += fabsf(row[label] - rival) < TIE;
        *loss += log(sum);
        count++;
    }
    *loss /= count;
}

/* Holds one cell against the definition. */
static void assert_cell(bench *b, const ex_effects *e, int class_index, int flat)
{
    int correct, close;
    double loss;
    const int cell = class_index * e->model->channel_count + flat;
    judge(b, e->class_label[class_index], &correct, &close, &loss);
    if (abs(e->correct[cell] - correct) > close)
        fail_msg("class %d, channel %d: %d correct, %d by the definition with %d close calls",
                 e->class_label[class_index], flat, e->correct[cell], correct, close);
    const double found = e->baseline_loss[class_index] + e->loss_delta[cell];
    if (!(fabs(found - loss) <= ROUNDING * (1.0 + loss)))
        fail_msg("class %d, channel %d: loss %.8g, %.8g by the definition",
                 e->class_label[class_index], flat, found, loss);
}

/* Whether the tables disagree on a channel: in a count, or in a loss beyond rounding. */
static bool differ(ex_effects *const *tables, int count, int classes, int flat)
{
    for (int t = 1; t < count; t++)
        for (int i = 0; i < classes; i++) {
            const int cell = i * tables[0]->model->channel_count + flat;
            const double loss = tables[0]->loss_delta[cell];
            if (tables[t]->correct[cell] != tables[0]->correct[cell] ||
                !(fabs(tables[t]->loss_delta[cell] - loss) <= ROUNDING * (1.0 + fabs(loss))))
                return true;
        }
    return false;
}

/* --- resnet20: every channel, every strategy ----------------------------------------------- */

/* Every channel by four ways; the definition decides wherever they disagree. */
static void test_every_strategy_gives_the_definition_on_resnet20(void **state)
{
    (void)state;
    enum { CLASSES = 10 };
    const int labels[CLASSES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    bench b = open_bench("resnet20", 2, labels, CLASSES, 2);
    ex_effects *tables[4];
    const ex_ablate_limits odd = {.chunk = 7, .variants = 5}, standard = {0};
    tables[0] = measure(&b, EX_STRATEGY_NAIVE, EX_ABLATE_FILTER, labels, CLASSES, standard);
    tables[1] = measure(&b, EX_STRATEGY_STREAMS, EX_ABLATE_FILTER, labels, CLASSES, standard);
    tables[2] = measure(&b, EX_STRATEGY_BATCHED, EX_ABLATE_FILTER, labels, CLASSES, standard);
    tables[3] = measure(&b, EX_STRATEGY_BATCHED, EX_ABLATE_FILTER, labels, CLASSES, odd);
    int distinct = 0;
    for (int flat = 0; flat < b.f->model->channel_count; flat++) {
        const bool doubt = differ(tables, 4, CLASSES, flat);
        for (int i = 0; i < CLASSES; i++)
            distinct += tables[0]->correct[i * b.f->model->channel_count + flat] !=
                        tables[0]->baseline_correct[i];
        if (flat % 7 && !doubt) /* the definition takes long: for some, and where there is doubt */
            continue;
        prune_and_run(&b, flat);
        for (int t = 0; t < 4; t++)
            for (int i = 0; i < CLASSES; i++)
                assert_cell(&b, tables[t], i, flat);
    }
    assert_true(distinct > 10); /* the model is trained enough for channels to matter */
    for (int t = 0; t < 4; t++) {
        assert_int_equal(tables[t]->probe[0], 2);
        assert_int_equal(tables[t]->digest, ex_model_digest(b.f->model, b.f->params, b.f->stats));
        ex_effects_destroy(&tables[t]);
    }
    close_bench(&b);
}

static void check_every_layer(const char *model, int probe)
{
    const int label = 5;
    bench b = open_bench(model, 2, &label, 1, probe);
    const ex_ablate_limits limits = {.chunk = 4, .variants = 16};
    ex_effects *e = measure(&b, EX_STRATEGY_BATCHED, EX_ABLATE_FILTER, &label, 1, limits);
    const ex_model *m = b.f->model;
    for (int l = 0; l < m->layer_count; l++) { /* the first, the last and one between */
        const int first = m->layers[l].first_channel, channels = m->layers[l].channels;
        const int picked[3] = {first, first + channels / 3, first + channels - 1};
        for (int i = 0; i < 3; i++) {
            prune_and_run(&b, picked[i]);
            assert_cell(&b, e, 0, picked[i]);
        }
    }
    ex_effects_destroy(&e);
    close_bench(&b);
}

static void test_vgg11_batched_gives_the_definition_in_every_layer(void **state)
{
    (void)state;
    check_every_layer("vgg11", 4);
}

static void test_biased_convolutions_give_the_definition_in_every_layer(void **state)
{
    (void)state;
    check_every_layer("vgg11-head1", 2);
}

static void test_layers_without_norms_give_the_definition_in_every_layer(void **state)
{
    (void)state;
    check_every_layer("cnn", 4);
}

static void test_resnet18_batched_gives_the_definition_in_every_layer(void **state)
{
    (void)state;
    check_every_layer("resnet18", 1);
}

static void test_projection_shortcuts_batched_equal_naive_in_every_channel(void **state)
{
    (void)state;
    const int label = 2;
    bench b = open_bench("resnet20-projection", 1, &label, 1, 3);
    const ex_ablate_limits standard = {0};
    ex_effects *tables[2] = {
        measure(&b, EX_STRATEGY_NAIVE, EX_ABLATE_FILTER, &label, 1, standard),
        measure(&b, EX_STRATEGY_BATCHED, EX_ABLATE_FILTER, &label, 1, standard),
    };
    for (int flat = 0; flat < b.f->model->channel_count; flat++) {
        if (!differ(tables, 2, 1, flat))
            continue;
        prune_and_run(&b, flat); /* only close calls may differ */
        assert_cell(&b, tables[0], 0, flat);
        assert_cell(&b, tables[1], 0, flat);
    }
    ex_effects_destroy(&tables[0]);
    ex_effects_destroy(&tables[1]);
    close_bench(&b);
}

/* --- one pass over all classes, lanes, chunks ---------------------------------------------- */

static void test_one_pass_over_all_classes_equals_a_pass_for_each(void **state)
{
    (void)state;
    int all[10];
    for (int k = 0; k < 10; k++)
        all[k] = k;
    bench b = open_bench("resnet20", 2, all, 10, 5);
    ex_effects *together, *alone;
    b.f->config.unlearn.strategy = EX_STRATEGY_BATCHED;
    b.f->config.unlearn.probe = 5;
    assert_ok(ex_ablate(&together, b.f, -1));
    assert_int_equal(together->classes, 10);
    const int channels = b.f->model->channel_count;
    for (int k = 0; k < 10; k += 3) {
        assert_ok(ex_ablate(&alone, b.f, k));
        assert_int_equal(alone->classes, 1);
        const int i = ex_effects_class_index(together, k);
        assert_int_equal(alone->probe[0], together->probe[i]);
        assert_int_equal(alone->baseline_correct[0], together->baseline_correct[i]);
        for (int flat = 0; flat < channels; flat++) {
            const int cell = i * channels + flat;
            assert_true(fabs(alone->loss_delta[flat] - together->loss_delta[cell]) <
                        ROUNDING * (1.0 + fabs(alone->loss_delta[flat])));
            if (alone->correct[flat] !=
                together->correct[cell]) { /* only a close call may differ */
                prune_and_run(&b, flat);
                assert_cell(&b, together, i, flat);
                assert_cell(&b, alone, 0, flat);
            }
        }
        ex_effects_destroy(&alone);
    }
    ex_effects_destroy(&together);
    assert_true(ex_ledger_cost(b.f->ledger, "ablation").compute_s > 0.0);
    assert_int_equal(ex_ledger_cost(b.f->ledger, "ablation").stored_samples, 50);
    close_bench(&b);
}

static void test_lanes_do_not_change_a_bit(void **state)
{
    (void)state;
    const int label = 1;
    ex_effects *e[2];
    bench b[2];
    for (int i = 0; i < 2; i++) {
        b[i] = open_bench("resnet20", i ? 3 : 1, &label, 1, 20);
        const ex_ablate_limits limits = {.chunk = 8, .variants = 4};
        e[i] = measure(&b[i], EX_STRATEGY_BATCHED, EX_ABLATE_FILTER, &label, 1, limits);
    }
    const size_t channels = (size_t)b[0].f->model->channel_count;
    assert_int_equal(e[0]->digest, e[1]->digest);
    assert_memory_equal(e[0]->correct, e[1]->correct, channels * sizeof *e[0]->correct);
    assert_memory_equal(e[0]->loss_delta, e[1]->loss_delta, channels * sizeof *e[0]->loss_delta);
    for (int i = 0; i < 2; i++) {
        ex_effects_destroy(&e[i]);
        close_bench(&b[i]);
    }
}

/* Batches shrink until they fit, down to what cannot fit at all. */
static void test_a_memory_limit_shrinks_batches_and_keeps_the_numbers(void **state)
{
    (void)state;
    const int label = 1;
    const ex_ablate_limits limits = {.chunk = 20, .variants = 16};
    enum { CHANNELS = 688 + 10 }; /* of resnet20 */
    /* Of 24 MiB most are taken before ablation starts; the batches asked for take about 12. */
    static const size_t room[3] = {0, (size_t)24 << 20, 1};
    ex_effects *e[3];
    for (int i = 0; i < 3; i++) {
        bench b = open_bench("resnet20", 2, &label, 1, 20);
        b.f->config.unlearn.strategy = EX_STRATEGY_BATCHED;
        b.f->device->options.memory = room[i];
        assert_status(ex_ablate_samples(&e[i], b.f, &b.probe, &label, 1, limits),
                      i < 2 ? EX_OK : EX_ERR_MEMORY);
        if (i > 0)
            assert_message("memory allows"); /* larger ones were tried */
        close_bench(&b);
    }
    assert_null(e[2]);
    assert_int_equal(e[0]->baseline_correct[0], e[1]->baseline_correct[0]);
    for (int flat = 0; flat < CHANNELS; flat++) {
        const double loss = e[0]->loss_delta[flat];
        assert_true(fabs(e[1]->loss_delta[flat] - loss) < ROUNDING * (1.0 + fabs(loss)));
    }
    ex_effects_destroy(&e[0]);
    ex_effects_destroy(&e[1]);
}

/* --- what is removed ----------------------------------------------------------------------- */

/* A channel whose norm has scale 0 emits its shift, whatever its filter is: without the filter
 * nothing changes, without the activation the constant is gone. */
static void test_filter_ablation_keeps_the_constant_of_the_norm(void **state)
{
    (void)state;
    const int label = 2;
    bench b = open_bench("resnet20", 1, &label, 1, 8);
    const int picked[3] = {0, 4, 11};
    for (int i = 0; i < 3; i++) {
        const ex_layer *l = &b.f->model->layers[picked[i]];
        b.f->params[l->scale + 1] = 0.0f;
        b.f->params[l->shift + 1] = 4.0f;
    }
    const ex_ablate_limits limits = {0};
    ex_effects *filter = measure(&b, EX_STRATEGY_BATCHED, EX_ABLATE_FILTER, &label, 1, limits);
    ex_effects *map = measure(&b, EX_STRATEGY_BATCHED, EX_ABLATE_ACTIVATION, &label, 1, limits);
    for (int i = 0; i < 3; i++) {
        const int flat = b.f->model->layers[picked[i]].first_channel + 1;
        assert_int_equal(filter->correct[flat], filter->baseline_correct[0]);
        assert_true(fabs(filter->loss_delta[flat]) < ROUNDING * (1.0 + filter->baseline_loss[0]));
        assert_true(fabs(map->loss_delta[flat]) > 100 * ROUNDING);
    }
    /* A linear layer has neither norm nor residual: both ablations are one. */
    const ex_layer *head = &b.f->model->layers[b.f->model->layer_count - 1];
    for (int c = 0; c < head->channels; c++) {
        const int flat = head->first_channel + c;
        assert_int_equal(filter->correct[flat], map->correct[flat]);
        assert_true(fabs(filter->loss_delta[flat] - map->loss_delta[flat]) < 1e-12);
    }
    ex_effects_destroy(&filter);
    ex_effects_destroy(&map);
    close_bench(&b);
}

static void test_activation_ablation_is_the_same_in_every_strategy(void **state)
{
    (void)state;
    const int label = 6;
    bench b = open_bench("resnet20", 2, &label, 1, 8);
    const ex_ablate_limits limits = {0};
    ex_effects *e[3];
    for (int s = 0; s < 3; s++)
        e[s] = measure(&b, (ex_strategy_choice)s, EX_ABLATE_ACTIVATION, &label, 1, limits);
    for (int s = 1; s < 3; s++)
        for (int flat = 0; flat < b.f->model->channel_count; flat++)
            assert_true(fabs(e[s]->loss_delta[flat] - e[0]->loss_delta[flat]) <
                        ROUNDING * (1.0 + fabs(e[0]->loss_delta[flat])));
    /* Behind a norm whose shift and mean are not zero, the map differs from the filter. */
    ex_effects *filter = measure(&b, EX_STRATEGY_BATCHED, EX_ABLATE_FILTER, &label, 1, limits);
    int differ = 0;
    for (int flat = 0; flat < b.f->model->channel_count; flat++)
        differ += fabs(filter->loss_delta[flat] - e[2]->loss_delta[flat]) > 100 * ROUNDING;
    assert_true(differ > 20);
    ex_effects_destroy(&filter);
    for (int s = 0; s < 3; s++)
        ex_effects_destroy(&e[s]);
    close_bench(&b);
}

/* --- counting and the probe set ------------------------------------------------------------ */

static void test_tally_counts_ties_and_nans_as_stated(void **state)
{
    (void)state;
    ex_model *m;
    ex_effects *e;
    assert_ok(ex_model_create(&m, "resnet20", (ex_model_shape){3, 3, 16, 16}));
    assert_ok(ex_effects_alloc(&e, m, 2));
    const int class_of[3] = {0, -1, 1};
    const ex_ablate_job job = {.class_of = class_of, .e = e};
    const float logits[6][3] = {{1, 1, 0},   {0, 2, 2},   {-1, -2, -0.5f},
                                {5, NAN, 0}, {500, 0, 0}, {0, 9, 0}};
    const uint16_t label[6] = {0, 2, 2, 0, 0, 1};
    ex_ablate_tally(&job, 7, logits[0], label, 1); /* a tie goes to the lowest index: right */
    assert_int_equal(e->correct[7], 1);
    assert_true(fabs(e->loss_delta[7] - log(2 + exp(-1))) < 1e-12);
    ex_ablate_tally(&job, 7, logits[1], label + 1, 1); /* a tie goes to the lowest index: wrong */
    assert_int_equal(e->correct[m->channel_count + 7], 0);
    ex_ablate_tally(&job, 7, logits[2], label + 2, 1);
    assert_int_equal(e->correct[m->channel_count + 7], 1);
    ex_ablate_tally(&job, 8, logits[4], label + 4, 1); /* far apart: no overflow */
    assert_int_equal(e->correct[8], 1);
    assert_true(e->loss_delta[8] < 1e-100);
    ex_ablate_tally(&job, 8, logits[3], label + 3, 1); /* never correct with a NaN */
    assert_int_equal(e->correct[8], 1);
    assert_true(isnan(e->loss_delta[8]));
    ex_ablate_tally(&job, 8, logits[5], label + 5, 1); /* a class that is not probed */
    assert_int_equal(e->correct[8], 1);
    ex_ablate_tally(&job, EX_ABLATE_BASELINE, logits[0], label, 1);
    assert_int_equal(e->baseline_correct[0], 1);
    ex_effects_destroy(&e);
    ex_model_destroy(&m);
}

static void test_probe_set_is_the_servers_then_topped_up(void **state)
{
    (void)state;
    ex_config c;
    ex_config_default(&c);
    snprintf(c.dataset, sizeof c.dataset, "synthetic");
    snprintf(c.model, sizeof c.model, "resnet20");
    snprintf(c.device, sizeof c.device, "cpu");
    c.train_samples = 400, c.test_samples = 100, c.server.samples = 100, c.num_clients = 2;
    ex_federation *f;
    assert_ok(ex_federation_open(&f, &c));
    ex_samples held, probe, both;
    const int label = 4, two[2] = {9, 4};
    assert_ok(ex_samples_of_class(&held, &f->server, label, 1));
    assert_true(held.count > 0 && held.count < 40);
    const int more = (int)held.count + 3;
    assert_ok(ex_probe_make(&probe, f, &label, 1, more));
    assert_int_equal(probe.count, more);
    for (size_t i = 0; i < probe.count; i++) {
        assert_int_equal(probe.label[i], label);
        assert_int_equal(f->data->train.labels[probe.index[i]], label);
        int server = 0;
        for (size_t j = 0; j < held.count; j++)
            server += held.index[j] == probe.index[i];
        assert_int_equal(server, i < held.count);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(probe.index[i], probe.index[j]);
    }
    /* Another class beside it changes nothing. */
    assert_ok(ex_probe_make(&both, f, two, 2, more));
    assert_memory_equal(both.index + both.count - probe.count, probe.index,
                        probe.count * sizeof *probe.index);
    ex_samples_free(&both);
    ex_samples_free(&probe);
    /* All there are, where there are fewer. */
    assert_ok(ex_probe_make(&probe, f, &label, 1, 100000));
    size_t all = 0;
    for (size_t i = 0; i < f->data->train.count; i++)
        all += f->data->train.labels[i] == label;
    assert_int_equal(probe.count, all);
    ex_samples_free(&probe);
    ex_samples_free(&held);
    ex_federation_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tally_counts_ties_and_nans_as_stated),
        cmocka_unit_test(test_probe_set_is_the_servers_then_topped_up),
        cmocka_unit_test(test_every_strategy_gives_the_definition_on_resnet20),
        cmocka_unit_test(test_one_pass_over_all_classes_equals_a_pass_for_each),
        cmocka_unit_test(test_lanes_do_not_change_a_bit),
        cmocka_unit_test(test_a_memory_limit_shrinks_batches_and_keeps_the_numbers),
        cmocka_unit_test(test_filter_ablation_keeps_the_constant_of_the_norm),
        cmocka_unit_test(test_activation_ablation_is_the_same_in_every_strategy),
        cmocka_unit_test(test_vgg11_batched_gives_the_definition_in_every_layer),
        cmocka_unit_test(test_biased_convolutions_give_the_definition_in_every_layer),
        cmocka_unit_test(test_layers_without_norms_give_the_definition_in_every_layer),
        cmocka_unit_test(test_resnet18_batched_gives_the_definition_in_every_layer),
        cmocka_unit_test(test_projection_shortcuts_batched_equal_naive_in_every_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
