/* Nodes whose steps are kernels of ours on every back end: the input, the option-A shortcut, and
 * what linear layers do to their input before the product. */
#include "plan_nodes.h"

/* --- input ------------------------------------------------------------------------------------ */

/* The stream of words that the step draws for `use`. Where the step's numbers lie with the data
 * (plan->words), the words are those of step 0 but for what lies there. */
static ex_plan drawing(const ex_plan_core *plan)
{
    ex_plan p = plan->base;
    if (plan->words)
        p.key = (ex_rng_key){.seed = plan->base.key.seed};
    return p;
}

void ex_plan_affine(float *affine, const ex_dataset *data)
{
    for (int c = 0; c < data->channels; c++) {
        affine[c] = 1.0f / (255.0f * data->std[c]);
        affine[data->channels + c] = -data->mean[c] / data->std[c];
    }
}

static ex_status run_gather(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_dataset *d = plan->data;
    const ex_plan drawn = drawing(plan);
    ex_augment augment = {.crop = d->augment.crop,
                          .flip = d->augment.flip,
                          .cutout = d->augment.cutout,
                          .draws = ex_plan_draws(&drawn, EX_RNG_AUGMENT)};
    const bool varied = ex_plan_trains(plan) && (augment.crop || augment.flip || augment.cutout);
    augment.draws.at = plan->words;
    const ex_gather_shape g = {.N = plan->base.spec.batch,
                               .C = d->channels,
                               .H = d->height,
                               .W = d->width,
                               .out_H = step->shape.H,
                               .out_W = step->shape.W,
                               .top = (step->shape.H - d->height) / 2,
                               .left = (step->shape.W - d->width) / 2,
                               .block = step->shape.block,
                               .type = step->shape.type,
                               .scale = plan->affine,
                               .shift = plan->affine + d->channels,
                               .augment = varied ? &augment : NULL};
    plan->k->batch_gather(step->at[0], plan->images, plan->index, &g, ex_plan_stream(plan));
    return EX_OK;
}

ex_status ex_plan_input_forward(ex_plan_core *plan, int node)
{
    ex_plan_step *step;
    EX_TRY(ex_plan_step_add(plan, "gather", node, run_gather, &step));
    step->shape = ex_plan_map_shape(plan, node);
    step->moved = ex_plan_map_floats(plan, node); /* a byte each */
    ex_plan_step_ref(plan, plan->maps[node].ref);
    return EX_OK;
}

ex_status ex_plan_input_backward(ex_plan_core *plan, int node)
{
    EX_TRY(ex_plan_gradient_sum(plan, node, false, &plan->input_gradient));
    plan->buffers.list[plan->input_gradient.buffer].keep = true;
    return EX_OK;
}

/* --- shortcut --------------------------------------------------------------------------------- */

static ex_status run_shortcut(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_node *n = &plan->model->nodes[step->node];
    plan->k->shortcut_a_fwd(step->at[0], step->at[1], &step->shape, n->K,
                            plan->maps[step->node].block, n->stride, ex_plan_stream(plan));
    return EX_OK;
}

ex_status ex_plan_shortcut_forward(ex_plan_core *plan, int node)
{
    const int input = plan->model->nodes[node].input;
    ex_plan_step *step;
    EX_TRY(ex_plan_step_add(plan, "shortcut", node, run_shortcut, &step));
    step->shape = ex_plan_map_shape(plan, input);
    ex_plan_step_ref(plan, plan->maps[node].ref);
    ex_plan_step_ref(plan, plan->maps[input].ref);
    return EX_OK;
}

ex_status ex_plan_shortcut_backward(ex_plan_core *plan, int node)
{
    ex_buffer_ref dy;
    EX_TRY(ex_plan_gradient_sum(plan, node, false, &dy));
    return ex_plan_gradient_give(plan, plan->model->nodes[node].input, dy, node);
}

/* --- rows of a linear layer, and dropout ------------------------------------------------------ */

bool ex_plan_flattens(const ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    return (ex_plan_trains(plan) && n->dropout > 0.0f) ||
           (n->H * n->W != 1 && plan->maps[n->input].block != 1);
}

static ex_dropout dropout_of(const ex_plan_core *plan, int node)
{
    const ex_plan drawn = drawing(plan);
    ex_dropout d = ex_plan_dropout(&drawn, node);
    d.draws.at = plan->words;
    return d;
}

static ex_status run_flatten(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_dropout d = dropout_of(plan, step->node);
    plan->k->flatten_fwd(step->at[0], step->at[1], &step->shape, d.rate > 0.0f ? &d : NULL,
                         ex_plan_stream(plan));
    return EX_OK;
}

static ex_status run_flatten_backward(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_dropout d = dropout_of(plan, step->node);
    plan->k->flatten_bwd(step->at[0], step->at[1], &step->shape, d.rate > 0.0f ? &d : NULL,
                         ex_plan_stream(plan));
    return EX_OK;
}

static ex_status add_flatten(ex_plan_core *plan, int node, const char *what, ex_plan_call call,
                             ex_buffer_ref in, ex_buffer_ref *out)
{
    const int input = plan->model->nodes[node].input;
    ex_plan_step *step;
    EX_TRY(ex_plan_map_add(plan, input, out));
    EX_TRY(ex_plan_step_add(plan, what, node, call, &step));
    step->shape = ex_plan_map_shape(plan, input);
    ex_plan_step_ref(plan, *out);
    ex_plan_step_ref(plan, in);
    return EX_OK;
}

ex_status ex_plan_flatten_forward(ex_plan_core *plan, int node, ex_buffer_ref in,
                                  ex_buffer_ref *out)
{
    return add_flatten(plan, node, "flatten", run_flatten, in, out);
}

ex_status ex_plan_flatten_backward(ex_plan_core *plan, int node, ex_buffer_ref in,
                                   ex_buffer_ref *out)
{
    return add_flatten(plan, node, "flatten backward", run_flatten_backward, in, out);
}
