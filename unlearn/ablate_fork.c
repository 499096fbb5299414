/* The fast strategies. What lies before the ablated layer is the same for all of its channels: it
 * is computed once, on a plan that keeps every map. From there on the channels differ: the maps are
 * copied V times with one channel ablated in each, a convolution that reads the ablated map is
 * corrected by that channel's work where the back end can (ex_plan_fork), and the rest of the model
 * runs over V * images at once, on several lanes.
 *
 *   batched  V channels a batch, a few probe images a chunk: the maps of a batch stay in the caches
 *   streams  one channel a batch, "one pruned channel per stream"
 *
 * Probe sets larger than a chunk go through chunk by chunk, so that memory stays bounded. Every
 * cell of the table is summed by one thread at a time in the order of the chunks: the numbers do
 * not depend on the number of lanes. */
#include "ablate.h"
#include "base/log.h"
#include "base/memory.h"

enum { BATCHED_VARIANTS = 4, STREAMS_CHUNK = 256 };

/* Channels first..first + count - 1 of a layer: a batch. */
typedef struct item {
    int layer, first, count;
} item;

typedef struct worker {
    ex_plan *plan;
    float *logits;    /* (batch, classes) */
    int32_t *channel; /* (variants) */
} worker;

typedef struct forks {
    const ex_ablate_job *job;
    int chunk, variants;
    ex_plan *prefix;
    float *logits; /* (chunk, classes) of the unchanged model */
    worker *workers;
    int lanes;
    item *items; /* (channel_count) */
    int item_count;
    ex_samples feed; /* the chunk at work; points into the probe set */
} forks;

/* --- plans and room ------------------------------------------------------------------------ */

static void close_worker(worker *k)
{
    ex_plan_destroy(&k->plan);
    ex_free(&k->logits);
    ex_free(&k->channel);
}

static void close_plans(forks *w, int workers)
{
    for (int i = 0; i < workers; i++)
        close_worker(&w->workers[i]);
    ex_plan_destroy(&w->prefix);
    ex_free(&w->logits);
}

static ex_status open_worker(forks *w, int lane)
{
    worker *k = &w->workers[lane];
    const ex_federation *f = w->job->f;
    const int batch = w->chunk * w->variants;
    const ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = batch};
    ex_lane *on = ex_trainer_lane(f->lanes[lane]);
    EX_TRY(ex_plan_create(&k->plan, on, &spec));
    EX_TRY(ex_alloc(&k->channel, (size_t)w->variants, sizeof *k->channel, "variants"));
    EX_TRY(ex_alloc(&k->logits, (size_t)batch * (size_t)f->model->classes, sizeof *k->logits,
                    "logits"));
    return ex_lane_load(on, f->params, f->stats);
}

/* The prefix and at least one worker; EX_ERR_MEMORY where that does not fit. */
static ex_status open_plans(forks *w, ex_lane *prefix_lane, int lanes)
{
    const ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = w->chunk, .keep_nodes = true};
    const size_t classes = (size_t)w->job->f->model->classes;
    EX_TRY(ex_plan_create(&w->prefix, prefix_lane, &spec));
    EX_TRY(ex_alloc(&w->logits, (size_t)w->chunk * classes, sizeof *w->logits, "logits"));
    for (w->lanes = 0; w->lanes < lanes; w->lanes++) {
        const ex_status status = open_worker(w, w->lanes);
        if (status == EX_ERR_MEMORY && w->lanes > 0) {
            close_worker(&w->workers[w->lanes]);
            break;
        }
        EX_TRY(status);
    }
    return EX_OK;
}

/* The most images, up to `most`, that leave no chunk of the probe set much smaller than the others:
 * a chunk takes the time of a full one. */
static int even_chunk(size_t probe, int most)
{
    const size_t chunks = (probe + (size_t)most - 1) / (size_t)most;
    return (int)((probe + chunks - 1) / chunks);
}

static void shrink(forks *w)
{
    if (w->variants > 1)
        w->variants = (w->variants + 1) / 2;
    else
        w->chunk = even_chunk(w->job->probe->count, (w->chunk + 1) / 2);
}

/* Where not all of it fits, the plans that wait for another use go first, then batches get smaller
 * until they fit. Their size does not depend on the number of lanes: it would be visible in the
 * last bits. */
static ex_status fit_plans(forks *w, ex_lane *prefix_lane, int lanes)
{
    for (bool dropped = false;; dropped = true) {
        const ex_status status = open_plans(w, prefix_lane, lanes);
        const bool whole = status != EX_ERR_MEMORY && (status != EX_OK || w->lanes == lanes);
        const bool smallest = w->variants == 1 && w->chunk == 1;
        if (whole || (dropped && (status == EX_OK || smallest)))
            return status;
        close_plans(w, lanes);
        if (dropped)
            shrink(w);
        else
            ex_federation_drop_plans(w->job->f);
    }
}

static void tell_of_less(const forks *w, int chunk, int variants, int lanes)
{
    if (w->chunk < chunk || w->variants < variants || w->lanes < lanes)
        ex_log("memory is short: ablation takes %d channels of %d images at once on %d lanes, not "
               "%d of %d on %d",
               w->variants, w->chunk, w->lanes, variants, chunk, lanes);
}

/* --- work ---------------------------------------------------------------------------------- */

static ex_status ablate_item(void *context, int index, int lane)
{
    forks *w = context;
    worker *k = &w->workers[lane];
    const ex_model *m = w->job->f->model;
    const item *it = &w->items[index];
    const ex_layer *layer = &m->layers[it->layer];
    const int images = (int)w->feed.count;
    if (ex_interrupted())
        return EX_FAIL(EX_ERR_INTERRUPTED, "interrupted while ablating");
    for (int v = 0; v < it->count; v++)
        k->channel[v] = it->first + v;
    const ex_fork fork = {.layer = it->layer,
                          .ablation = w->job->e->ablation,
                          .channel = k->channel,
                          .variants = it->count,
                          .images = images};
    int next;
    EX_TRY(ex_plan_fork(k->plan, w->prefix, &fork, &next));
    if (next < m->node_count)
        EX_TRY(ex_plan_forward(k->plan, next, m->node_count - 1));
    EX_TRY(ex_plan_logits(k->plan, k->logits, it->count * images));
    for (int v = 0; v < it->count; v++)
        ex_ablate_tally(w->job, layer->first_channel + k->channel[v],
                        k->logits + (size_t)v * (size_t)images * (size_t)m->classes, w->feed.label,
                        images);
    ex_progress_add((double)it->count * images / (double)w->job->probe->count);
    return EX_OK;
}

/* Each layer's channels in groups that are as large as each other, or one larger. */
static void make_items(forks *w)
{
    const ex_model *m = w->job->f->model;
    w->item_count = 0;
    for (int i = 0; i < m->layer_count; i++) {
        const int channels = m->layers[i].channels;
        const int groups = (channels + w->variants - 1) / w->variants;
        for (int g = 0, first = 0; g < groups; g++) {
            const int count = channels / groups + (g < channels % groups);
            w->items[w->item_count++] = (item){i, first, count};
            first += count;
        }
    }
}

static ex_status run_chunk(forks *w)
{
    const ex_federation *f = w->job->f;
    const int images = (int)w->feed.count, last = f->model->node_count - 1;
    EX_TRY(ex_plan_load(w->prefix, &f->data->train, &w->feed));
    EX_TRY(ex_plan_forward(w->prefix, 1, last));
    EX_TRY(ex_plan_logits(w->prefix, w->logits, images));
    ex_ablate_tally(w->job, EX_ABLATE_BASELINE, w->logits, w->feed.label, images);
    make_items(w);
    return ex_lanes_run(w->lanes, w->item_count, ablate_item, w);
}

static ex_status run_forks(const ex_ablate_job *job, int chunk, int variants, int lanes)
{
    ex_status status;
    ex_trainer *central;
    const size_t probe = job->probe->count;
    forks w = {.job = job, .chunk = chunk, .variants = variants};
    EX_TRY(ex_federation_central(job->f, &central));
    EX_TRY_GOTO(ex_alloc(&w.workers, (size_t)lanes, sizeof *w.workers, "ablation lanes"), done);
    EX_TRY_GOTO(ex_alloc(&w.items, (size_t)job->f->model->channel_count, sizeof *w.items,
                         "ablation batches"),
                done);
    EX_TRY_GOTO(fit_plans(&w, ex_trainer_lane(central), lanes), done);
    tell_of_less(&w, chunk, variants, lanes);
    for (size_t at = 0; at < probe; at += w.feed.count) {
        const size_t left = probe - at, most = (size_t)w.chunk;
        w.feed =
            (ex_samples){job->probe->index + at, job->probe->label + at, left < most ? left : most};
        EX_TRY_GOTO(run_chunk(&w), done);
    }
done:
    if (w.workers)
        close_plans(&w, lanes);
    ex_free(&w.workers);
    ex_free(&w.items);
    return status;
}

/* --- strategies ---------------------------------------------------------------------------- */

/* What the caller fixed, or the standard; no chunk is larger than the probe set. */
static int chunk_of(const ex_ablate_job *job, int standard)
{
    const size_t probe = job->probe->count;
    const int fixed = job->limits.chunk;
    if (fixed > 0)
        return (size_t)fixed < probe ? fixed : (int)probe;
    return even_chunk(probe, standard > 0 ? standard : 1);
}

static int most_channels(const ex_model *m)
{
    int most = 1;
    for (int i = 0; i < m->layer_count; i++)
        most = m->layers[i].channels > most ? m->layers[i].channels : most;
    return most;
}

/* Channels of all batches of so many, empty places included: a batch that is not full takes the
 * time of a full one. */
static int places(const ex_model *m, int variants)
{
    int sum = 0;
    for (int i = 0; i < m->layer_count; i++)
        sum += (m->layers[i].channels + variants - 1) / variants * variants;
    return sum;
}

/* Of `most` and less, down to half, what leaves the fewest places empty. */
static int even_variants(const ex_model *m, int most)
{
    int best = most;
    for (int v = most - 1; v > most / 2; v--)
        if (places(m, v) < places(m, best))
            best = v;
    return best;
}

/* Bytes of an image's maps at the node that reads and writes the most. */
static size_t widest_maps(const ex_federation *f)
{
    const size_t value = f->config.precision == EX_BF16 ? sizeof(uint16_t) : sizeof(float);
    size_t widest = 1;
    for (int i = 1; i < f->model->node_count; i++) {
        const ex_node *n = &f->model->nodes[i];
        const size_t in = (size_t)n->C * (size_t)n->H * (size_t)n->W;
        const size_t out = (size_t)n->K * (size_t)n->out_H * (size_t)n->out_W;
        const size_t values = in + (n->residual >= 0 ? 2 : 1) * out;
        widest = values > widest ? values : widest;
    }
    return widest * value;
}

/* As many as fill the device; where the maps of so many leave the cache, fewer: but so many that
 * the filters, which each batch reads once, are not most of what is read. */
static int images_of(const ex_federation *f)
{
    enum { FILTERS = 32 };
    const size_t cache = f->device->cache, fit = cache / widest_maps(f);
    const int most = f->device->images_at_once, least = FILTERS < most ? FILTERS : most;
    if (cache == 0 || fit >= (size_t)most)
        return most;
    return fit > (size_t)least ? (int)fit : least;
}

static ex_status run_batched(const ex_ablate_job *job)
{
    const int images = images_of(job->f);
    const int chunk = chunk_of(job, images / BATCHED_VARIANTS), fixed = job->limits.variants;
    const int wanted = fixed > 0 ? fixed : images / chunk;
    const int most = most_channels(job->f->model); /* a batch ablates channels of one layer */
    const int fit = wanted < 1 ? 1 : wanted < most ? wanted : most;
    const int variants = fixed > 0 ? fit : even_variants(job->f->model, fit);
    EX_TRY(ex_federation_lanes(job->f));
    return run_forks(job, chunk, variants, job->f->lane_count);
}

static ex_status run_streams(const ex_ablate_job *job)
{
    EX_TRY(ex_federation_lanes(job->f));
    return run_forks(job, chunk_of(job, STREAMS_CHUNK), 1, job->f->lane_count);
}

ex_status ex_ablate_single(const ex_ablate_job *job)
{
    EX_TRY(ex_federation_lanes(job->f));
    return run_forks(job, chunk_of(job, STREAMS_CHUNK), 1, 1);
}

const ex_ablate_strategy ex_ablate_streams = {.name = "streams", .run = run_streams};
const ex_ablate_strategy ex_ablate_batched = {.name = "batched", .run = run_batched};
