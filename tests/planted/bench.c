/* excise-bench with a result that is wrong, for test_bench_wrong.sh: its own sources, linked so
 * that what they call of the libraries goes through here. EX_PLANT names what is done. */
#include "ablate.h"
#include "federation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool planted(const char *what)
{
    const char *plant = getenv("EX_PLANT");
    return plant && strcmp(plant, what) == 0;
}

/* --- plans ------------------------------------------------------------------------------------ */

ex_status __real_ex_plan_evaluate(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                                  ex_eval_sums *sums);
ex_status __wrap_ex_plan_evaluate(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                                  ex_eval_sums *sums);
ex_status __real_ex_plan_train(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                               const ex_sgd_coeff *sgd, ex_train_sums *sums);
ex_status __wrap_ex_plan_train(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                               const ex_sgd_coeff *sgd, ex_train_sums *sums);
ex_status __real_ex_plan_gradient(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                                  ex_gradient *out);
ex_status __wrap_ex_plan_gradient(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                                  ex_gradient *out);

ex_status __wrap_ex_plan_evaluate(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                                  ex_eval_sums *sums)
{
    static int calls;
    const ex_status status = __real_ex_plan_evaluate(plan, data, feed, sums);
    if (++calls == 3 && planted("count"))
        sums->correct++;
    return status;
}

/* A value that no mask of `masked` holds: of the last filter of the first layer. */
static size_t outside(const ex_model *m)
{
    return m->layers[0].weight + m->layers[0].row * (size_t)m->layers[0].channels - 1;
}

static ex_status change_outside(ex_lane *lane)
{
    const ex_model *m = lane->model;
    float *params = malloc(m->param_count * sizeof *params);
    float *stats = malloc(m->stat_count * sizeof *stats);
    ex_status status = params && stats ? ex_lane_store(lane, params, stats) : EX_ERR_MEMORY;
    if (status == EX_OK) {
        params[outside(m)] += 1e-6f;
        status = ex_lane_load(lane, params, stats);
    }
    free(params);
    free(stats);
    return status;
}

/* The steps that are measured have another learning rate than the model's first ones. */
ex_status __wrap_ex_plan_train(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                               const ex_sgd_coeff *sgd, ex_train_sums *sums)
{
    static int calls, single;
    ex_sgd_coeff coeff = *sgd;
    const bool measured = sgd->lr == 0.01f, masked = plan->spec.mask;
    const bool alone = measured && feed->count == (size_t)plan->spec.batch;
    if (masked && planted("idle")) {
        sums->count += feed->count;
        return EX_OK;
    }
    /* Of the two steps that are compared, the first. */
    if (alone && single++ == 0 && planted("update"))
        coeff.lr *= 1.6f;
    const ex_status status = __real_ex_plan_train(plan, data, feed, &coeff, sums);
    if (measured && ++calls == 3 && planted("loss"))
        sums->loss = NAN;
    if (status == EX_OK && masked && planted("outside"))
        return change_outside(plan->lane);
    return status;
}

ex_status __wrap_ex_plan_gradient(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                                  ex_gradient *out)
{
    const ex_status status = __real_ex_plan_gradient(plan, data, feed, out);
    if (plan->spec.mask && planted("gradient"))
        for (size_t i = 0; i < plan->lane->model->param_count; i++)
            out->params[i] *= 1.01f;
    if (plan->spec.mask && planted("gradient outside"))
        out->params[outside(plan->lane->model)] = 1e-9f;
    return status;
}

/* --- ablation --------------------------------------------------------------------------------- */

ex_status __real_ex_ablate_samples(ex_effects **out, ex_federation *f, const ex_samples *probe,
                                   const int *labels, int label_count, ex_ablate_limits limits);
ex_status __wrap_ex_ablate_samples(ex_effects **out, ex_federation *f, const ex_samples *probe,
                                   const int *labels, int label_count, ex_ablate_limits limits);

/* The first channels of every layer have the highest effect; or the last ones. */
static void set_effects(ex_effects *e, int class_index, bool last)
{
    for (int i = 0; i < e->model->layer_count; i++) {
        const ex_layer *l = &e->model->layers[i];
        for (int c = 0; c < l->channels; c++)
            e->correct[class_index * e->model->channel_count + l->first_channel + c] =
                last ? l->channels - c : c;
    }
}

ex_status __wrap_ex_ablate_samples(ex_effects **out, ex_federation *f, const ex_samples *probe,
                                   const int *labels, int label_count, ex_ablate_limits limits)
{
    static int calls;
    static const ex_federation *first;
    const ex_status status = __real_ex_ablate_samples(out, f, probe, labels, label_count, limits);
    if (status != EX_OK)
        return status;
    ex_effects *e = *out;
    first = first ? first : f;
    if (++calls == 2 && planted("cell"))
        e->correct[5]++;
    if (planted("table"))
        for (int i = 0; i < e->classes * e->model->channel_count; i++)
            e->correct[i]++;
    /* What the second device finds agrees in every second class. */
    if (planted("effects"))
        for (int i = 0; i < e->classes; i++)
            set_effects(e, i, f != first && i % 2 == 1);
    return status;
}

/* --- rounds, operations, models --------------------------------------------------------------- */

ex_status __real_ex_federation_round(ex_federation *f, const ex_round *round,
                                     ex_round_result *result);
ex_status __wrap_ex_federation_round(ex_federation *f, const ex_round *round,
                                     ex_round_result *result);
double __real_ex_model_flops(const ex_model *model);
double __wrap_ex_model_flops(const ex_model *model);

ex_status __wrap_ex_federation_round(ex_federation *f, const ex_round *round,
                                     ex_round_result *result)
{
    const ex_status status = __real_ex_federation_round(f, round, result);
    if (planted("images"))
        result->samples--;
    return status;
}

double __wrap_ex_model_flops(const ex_model *model)
{
    return __real_ex_model_flops(model) * (planted("flop") ? 1.001 : 1.0);
}

extern const ex_kernels __real_ex_kernels_host;
ex_kernels __wrap_ex_kernels_host;

static void accumulate(int64_t *acc, uint64_t *beyond, const float *x, double weight, size_t n,
                       ex_stream s)
{
    __real_ex_kernels_host.accumulate_fixed(acc, beyond, x, weight, n, s);
    if (s.threads > 1 && planted("threads"))
        acc[n / 2]++;
}

static void flatten(void *out, const void *in, const ex_map_shape *shape, const ex_dropout *drop,
                    ex_stream s)
{
    if (!planted("nothing"))
        __real_ex_kernels_host.flatten_fwd(out, in, shape, drop, s);
}

__attribute__((constructor)) static void plant_kernels(void)
{
    __wrap_ex_kernels_host = __real_ex_kernels_host;
    __wrap_ex_kernels_host.accumulate_fixed = accumulate;
    __wrap_ex_kernels_host.flatten_fwd = flatten;
}
