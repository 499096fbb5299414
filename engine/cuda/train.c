/* Running training plans. Every step of a run is queued without waiting for the one before; losses
 * are read when the last one ran. */
#include "base/memory.h"
#include "cuda/cuda_impl.h"
#include "plan_checks.h"

#include <string.h>

ex_status ex_cuda_train(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                        const ex_sgd_coeff *sgd, ex_train_sums *sums)
{
    ex_cuda_plan *p = ex_cuda_plan_of(plan);
    const size_t batch = (size_t)plan->spec.batch;
    ex_cuda_feed *f = &p->lane->feed;
    EX_CHECK_ARG(plan->spec.use == EX_USE_TRAIN, "the plan is not for training");
    EX_CHECK_ARG(feed->count % batch == 0, "%zu samples are no multiple of the batch %zu",
                 feed->count, batch);
    EX_TRY(ex_cuda_enter(p->lane, "training"));
    EX_TRY(ex_cuda_begin(p, data, feed, 0));
    p->sgd = *sgd;
    p->lane->version++;
    EX_TRY(ex_cuda_state_upload(p));
    EX_TRY(ex_cuda_queue_steps(p, feed->count / batch));
    plan->key.step += (uint32_t)(feed->count / batch);
    EX_TRY(ex_cuda_feed_read(p->lane, feed->count));
    for (size_t first = 0; first < feed->count; first += batch)
        EX_TRY(ex_plan_add_trained(sums, feed, first, batch, f->host_loss + first,
                                   f->host_predicted + first));
    return EX_OK;
}

/* --- gradients -------------------------------------------------------------------------------- */

/* Gradients of what the mask leaves alone are not computed: they are 0. */
static void clear_unmasked(const ex_mask *mask, float *out)
{
    size_t end = 0;
    for (size_t i = 0; i < mask->param_segments; i++) {
        memset(out + end, 0, (mask->params[i].offset - end) * sizeof *out);
        end = mask->params[i].offset + mask->params[i].length;
    }
    memset(out + end, 0, (mask->model->param_count - end) * sizeof *out);
}

static float value_at(const void *map, ex_map_type type, size_t i)
{
    if (type == EX_MAP_F32)
        return ((const float *)map)[i];
    const uint32_t bits = (uint32_t)((const uint16_t *)map)[i] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* out (N, C, H, W) from (N, H, W, C). */
static void to_planes(float *out, const void *in, const ex_map_shape *s)
{
    const size_t pixels = (size_t)s->H * (size_t)s->W, C = (size_t)s->C;
    for (size_t n = 0; n < (size_t)s->N; n++)
        for (size_t c = 0; c < C; c++)
            for (size_t p = 0; p < pixels; p++)
                out[(n * C + c) * pixels + p] = value_at(in, s->type, (n * pixels + p) * C + c);
}

static ex_status read_input(ex_cuda_plan *plan, float *out)
{
    const ex_map_shape shape = ex_cuda_shape(plan, 0);
    const size_t floats = ex_cuda_map_floats(plan, 0);
    const size_t size = ex_map_type_bytes(shape.type);
    void *in;
    EX_TRY(ex_alloc(&in, floats, size, "gradient of the input"));
    const ex_status status =
        ex_cuda_fetch(plan->lane, in, ex_cuda_at(plan, plan->input_gradient), floats * size);
    if (status == EX_OK)
        to_planes(out, in, &shape);
    ex_free(&in);
    return status;
}

static ex_status read_gradient(ex_cuda_plan *plan, ex_gradient *out)
{
    const int last = plan->model->node_count - 1;
    if (out->logits)
        EX_TRY(ex_cuda_fetch(plan->lane, out->logits, ex_cuda_at(plan, plan->maps[last].ref),
                             ex_cuda_map_floats(plan, last) * sizeof(float)));
    if (out->params)
        EX_TRY(ex_cuda_fetch(plan->lane, out->params, ex_cuda_at(plan, plan->grads),
                             plan->model->param_count * sizeof(float)));
    if (out->params && plan->base.spec.mask)
        clear_unmasked(plan->base.spec.mask, out->params);
    return out->input ? read_input(plan, out->input) : EX_OK;
}

ex_status ex_cuda_gradient(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                           ex_gradient *out)
{
    ex_cuda_plan *p = ex_cuda_plan_of(plan);
    ex_cuda_feed *f = &p->lane->feed;
    ex_train_sums sums = {0};
    EX_CHECK_ARG(plan->spec.use == EX_USE_TRAIN, "the plan is not for training");
    EX_CHECK_ARG(feed->count == (size_t)plan->spec.batch, "expected %d samples, found %zu",
                 plan->spec.batch, feed->count);
    EX_CHECK_ARG(!out->input || plan->spec.input_gradient, "the plan has no input gradient");
    EX_TRY(ex_cuda_enter(p->lane, "computing gradients"));
    EX_TRY(ex_cuda_begin(p, data, feed, 0));
    EX_TRY(ex_cuda_state_upload(p));
    ex_cuda_batch(p, 0);
    EX_TRY(ex_cuda_steps(p, 0, p->step_count, false));
    EX_TRY(ex_cuda_feed_read(p->lane, feed->count));
    EX_TRY(ex_plan_add_trained(&sums, feed, 0, feed->count, f->host_loss, f->host_predicted));
    out->loss = sums.loss / (double)feed->count;
    return read_gradient(p, out);
}
