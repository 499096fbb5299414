/* Forking: V variants of a batch, each with one channel of one layer ablated. What is done about
 * each node is decided in fork.c; each takes one operation for all variants. Tensors that are still
 * to be read are copied. */
#include "cuda/cuda_impl.h"
#include "fork.h"
#include "plan_checks.h"

typedef struct fork_job {
    ex_cuda_plan *to;
    const ex_cuda_plan *from;
    const ex_fork *f;
    ex_fork_deeds deeds;
    const int32_t *channel; /* on the device, as f->channel */
    const float *fill;      /* (V) through the layer's ReLU, unless a residual is added first */
} fork_job;

static float fill_of(const fork_job *j, int channel)
{
    const ex_layer *l = &j->to->model->layers[j->f->layer];
    const float value = j->f->ablation == EX_ABLATE_FILTER && channel >= 0
                            ? j->to->lane->constants[l->first_channel + channel]
                            : 0.0f;
    const bool relu = j->deeds.constant && j->to->model->nodes[l->node].relu;
    return relu && value < 0.0f ? 0.0f : value;
}

/* Channels and what fills them, by one copy. */
static ex_status upload_variants(fork_job *j)
{
    const size_t variants = (size_t)j->f->variants;
    const size_t bytes = variants * (sizeof *j->channel + sizeof *j->fill);
    int32_t *channel;
    EX_TRY(ex_cuda_stage_take(&channel, j->to->lane, bytes));
    float *fill = (float *)(channel + variants);
    for (size_t v = 0; v < variants; v++) {
        channel[v] = j->f->channel[v];
        fill[v] = fill_of(j, channel[v]);
    }
    j->channel = j->to->variants;
    j->fill = (const float *)(j->channel + variants);
    return ex_cuda_copy(j->to->lane, j->to->variants, channel, bytes);
}

/* What becomes of a node's map that has one channel changed. */
static ex_channel_change change_of(const fork_job *j, int node)
{
    const ex_node *n = &j->to->model->nodes[node];
    ex_channel_change c = {.in = ex_cuda_at(j->from, j->from->maps[node].ref),
                           .channel = j->channel,
                           .fill = j->fill,
                           .V = j->f->variants};
    if (node == j->deeds.node && !j->deeds.constant) {
        c.residual = ex_cuda_at(j->from, j->from->maps[n->residual].ref);
        c.relu = n->relu;
    }
    return c;
}

static void ablate(const fork_job *j, int node, const ex_channel_change *c)
{
    ex_map_shape shape = ex_cuda_shape(j->from, node);
    shape.N = j->f->images;
    ex_kernels_cuda.channel_ablate(ex_cuda_at(j->to, j->to->maps[node].ref), c->in, c->residual,
                                   c->channel, c->fill, c->relu, c->V, &shape,
                                   ex_cuda_stream(j->to));
}

static ex_status do_node(const fork_job *j, int node)
{
    const ex_deed deed = (ex_deed)j->deeds.deed[node];
    if (deed == EX_DEED_RUN)
        return ex_cuda_steps(j->to, j->to->node_step[node], j->to->node_step[node + 1], true);
    if (!ex_fork_wants(&j->deeds, node))
        return EX_OK;
    if (deed == EX_DEED_CORRECTED) {
        const ex_channel_change change = change_of(j, j->to->model->nodes[node].input);
        ex_cuda_correct(j->to, j->from, node, j->f->images, &change);
        return EX_OK;
    }
    ex_channel_change change = change_of(j, node);
    if (deed == EX_DEED_SAME)
        change.channel = j->to->unchanged;
    ablate(j, node, &change);
    return EX_OK;
}

static ex_status do_nodes(fork_job *j)
{
    if (j->f->variants == 0)
        return EX_OK;
    EX_TRY(upload_variants(j));
    EX_TRY(ex_cuda_readers_begin(j->from, j->to->lane));
    ex_status status = EX_OK;
    for (int node = 0; node < j->deeds.next && status == EX_OK; node++)
        status = do_node(j, node);
    if (status == EX_OK)
        status = ex_cuda_launches();
    /* After an error too: what was queued before it reads the maps. */
    const ex_status end = ex_cuda_readers_end(j->from, j->to->lane);
    return status != EX_OK ? status : end;
}

static bool corrects(const void *plan, int node)
{
    return ex_cuda_corrects(plan, node);
}

ex_status ex_cuda_fork(ex_plan *to, const ex_plan *from, const ex_fork *f, int *next)
{
    fork_job j = {.to = ex_cuda_plan_of(to), .from = (const ex_cuda_plan *)from, .f = f};
    EX_TRY(ex_plan_check_fork(to, from, f));
    EX_TRY(ex_cuda_enter(j.to->lane, "forking"));
    EX_TRY(ex_cuda_constants(j.to->lane));
    EX_TRY(ex_cuda_bind(j.to));
    EX_TRY(ex_cuda_prepare(j.to));
    EX_TRY(ex_fork_decide(&j.deeds, j.to->model, f, corrects, j.to));
    const ex_status status = do_nodes(&j);
    *next = j.deeds.next;
    ex_fork_deeds_free(&j.deeds);
    return status;
}
