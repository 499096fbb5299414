/* Inside of the CUDA back end.
 *
 * A plan is a list of steps, made once, in the order of execution: sections prepare (folded norms),
 * forward, loss, backward, update. A step queues something on the lane's stream: a graph of a
 * library's operations (dnn_graph.h), a matrix product (blas.h), a kernel of ours. It names the
 * tensors that it reads and writes; where they lie in the lane's arena follows from the names alone
 * (plan_buffers.h). Maps lie NHWC: block = C. Nothing waits for the device between two batches.
 *
 * Reading order: plan.c (what is built, in order), conv.c norm.c pool.c linear.c gradient.c (the
 * nodes), step.c graph.c (steps), feed.c (samples in, losses out), train.c evaluate.c ablate.c
 * (what runs them), lane.c memory.c resident.c device.c (what they run on). */
#ifndef EX_CUDA_IMPL_H
#define EX_CUDA_IMPL_H

#include "backend.h"
#include "cuda/blas.h"
#include "cuda/dnn_graph.h"
#include "plan_buffers.h"
#include "table_cuda.h"

#include <cuda_runtime_api.h>
#include <pthread.h>

/* --- errors and memory ------------------------------------------------------------------------ */

/* The status of a call of the CUDA runtime; the message names the call and what it was made for. */
#define EX_CUDA(call) ex_cuda_check((call), #call, EX_WHERE)
ex_status ex_cuda_check(cudaError_t error, const char *call, const char *where);
/* What this thread does, for messages: static text. */
void ex_cuda_phase(const char *phase);
/* The first launch of a kernel that failed in this thread. */
ex_status ex_cuda_launches(void);

struct ex_cuda_device;
/* Device memory, at least one byte, not zeroed. EX_ERR_MEMORY says what was needed, what was free
 * and what lowers it. cudaFree waits for the device: whoever frees needs no other wait. */
ex_status ex_cuda_alloc(void *out, struct ex_cuda_device *device, size_t bytes, const char *what);
void ex_cuda_free(void *pointer); /* takes the address, sets NULL */

/* --- device ----------------------------------------------------------------------------------- */

/* A data set's bytes on the device. */
typedef struct ex_cuda_resident {
    const uint8_t *images; /* of the host: who it is */
    size_t count, bytes;
    uint64_t digest; /* of some of the bytes: another data set may come to lie in the same place */
    uint8_t *at;
} ex_cuda_resident;

/* What was chosen for a graph, as ex_dnn_plan_store tells it. */
typedef struct ex_cuda_choice {
    char *graph, *stored;
} ex_cuda_choice;

typedef struct ex_cuda_device {
    ex_device base;
    int index;
    pthread_mutex_t lock;     /* of memory_used and of resident */
    pthread_mutex_t choosing; /* of choices */
    size_t memory_used;       /* bytes of all plans and arenas */
    ex_cuda_resident *resident;
    int resident_count, resident_room;
    ex_cuda_choice *choices;
    int choice_count, choice_room;
} ex_cuda_device;

/* Takes `bytes` of the device's budget (options.memory), and gives them back. */
ex_status ex_cuda_account(ex_cuda_device *device, size_t bytes);
void ex_cuda_account_back(ex_cuda_device *device, size_t bytes);

ex_status ex_cuda_algorithms_read(ex_device *device, const char *path);
ex_status ex_cuda_algorithms_write(const ex_device *device, const char *path);

/* --- lane ------------------------------------------------------------------------------------- */

/* Lists of a run's samples on the device, and what came out for each. */
typedef struct ex_cuda_feed {
    size_t room; /* samples */
    void *memory;
    uint32_t *index;
    float *loss;
    int32_t *predicted;
    uint16_t *label;
    float *logits;
    size_t logits_room; /* floats */
    /* Of the host. */
    uint32_t *host_index;
    uint16_t *host_label;
    float *host_loss;
    int32_t *host_predicted;
} ex_cuda_feed;

typedef struct ex_cuda_lane {
    ex_lane base;
    ex_cuda_device *device;
    cudaStream_t stream;
    cudaEvent_t ready, done; /* of forks: what they read is there; they have read it */
    ex_dnn_handle *dnn;
    ex_blas_handle *blas;
    float *params, *stats, *velocity;
    uint64_t version;                 /* counts changes of params and stats; never 0 */
    char *arena;                      /* scratch that the lane's plans share */
    size_t arena_bytes, arena_needed; /* by its plans; fewer bytes are there after a failure */
    unsigned arena_moves;             /* counts replacements, so that plans notice */
    ex_cuda_feed feed;
    float *constants; /* of the host, (channel_count): what a norm makes of a filter of zeros */
    uint64_t constants_version;
} ex_cuda_lane;

static inline ex_cuda_lane *ex_cuda_lane_of(const ex_lane *lane)
{
    return (ex_cuda_lane *)lane;
}

/* Every entry calls this: the current device is the calling thread's. */
ex_status ex_cuda_enter(const ex_cuda_lane *lane, const char *phase);
/* Waits for the lane's work. */
ex_status ex_cuda_wait(const ex_cuda_lane *lane);
/* Makes the arena as large as the lane's plans need, with one that needs `arena` bytes, and takes
 * `own` bytes of the budget for the plan itself. */
ex_status ex_cuda_reserve(ex_cuda_lane *lane, size_t arena, size_t own);
/* Makes the arena at least so large until the next plan is made. */
ex_status ex_cuda_borrow(ex_cuda_lane *lane, size_t bytes);
/* Queued copies of floats or bytes, in order with the lane's other work. */
ex_status ex_cuda_copy(const ex_cuda_lane *lane, void *to, const void *from, size_t bytes);
/* lane->constants of the lane's present values. */
ex_status ex_cuda_constants(ex_cuda_lane *lane);

/* Uploads the samples, each batch whole: a last one that is short repeats its last sample. The
 * lists grow as needed and stay. */
ex_status ex_cuda_feed_upload(ex_cuda_lane *lane, const ex_samples *feed, size_t batch);
/* Room for so many samples; a lane's lists are replaced. */
ex_status ex_cuda_feed_room(ex_cuda_lane *lane, size_t count);
/* Room for so many floats of logits. */
ex_status ex_cuda_feed_logits(ex_cuda_lane *lane, size_t floats);
/* feed.host_loss and host_predicted of `count` samples; waits for the lane. */
ex_status ex_cuda_feed_read(ex_cuda_lane *lane, size_t count);
void ex_cuda_feed_free(ex_cuda_feed *feed);

/* *out = the data set's images on the device, uploaded when first asked for. */
ex_status ex_cuda_images(const uint8_t **out, ex_cuda_lane *lane, const ex_dataset *data);
void ex_cuda_resident_free(ex_cuda_device *device);

/* --- steps ------------------------------------------------------------------------------------ */

typedef ex_buffer_ref ex_cuda_ref;

#define EX_CUDA_NO_REF ((ex_cuda_ref){.buffer = EX_BUFFER_NOTHING})

enum {
    EX_CUDA_REFS = EX_GRAPH_TENSORS + 2,
    EX_CUDA_ALIGN = 256,
    EX_CUDA_BLAS_WORKSPACE = 4 << 20,
    EX_CUDA_RECORDED = 8, /* training steps a launch */
};

typedef struct ex_cuda_plan ex_cuda_plan;
typedef struct ex_cuda_step ex_cuda_step;
typedef ex_status (*ex_cuda_call)(ex_cuda_plan *plan, const ex_cuda_step *step);

struct ex_cuda_step {
    const char *what; /* for messages */
    int node;         /* -1: none */
    bool update;      /* changes the lane's values: training only, not ex_plan_gradient */
    ex_cuda_call call;
    int count;
    ex_cuda_ref ref[EX_CUDA_REFS];
    void *at[EX_CUDA_REFS]; /* of ref, set by ex_cuda_bind */
    ex_dnn_plan *dnn;       /* its tensors are the first refs, its workspace the last */
    ex_blas_plan *blas;
    /* What calls need beside tensors. */
    size_t n;
    ex_map_shape shape;
    int relu;
};

/* A tensor of the graph. */
typedef struct ex_cuda_map {
    ex_cuda_ref ref;
    ex_cuda_ref inner; /* training: the value before the norm; linear: the rows that it reads */
    ex_cuda_ref mean, var, index;
    ex_cuda_ref weights, bias; /* as the forward convolution reads them */
    bool wanted;               /* training: something at or before the node wants a gradient */
    ex_cuda_ref gradient[4];   /* contributions of the tensor's readers */
    int shortcut[4];           /* the node whose shortcut the contribution passes, or -1 */
    int gradients;
} ex_cuda_map;

/* What a recorded group of steps holds fast: other values need another recording. */
typedef struct ex_cuda_recorded {
    unsigned arena_moves;
    const void *feed;
    size_t feed_room; /* by which its lists lie */
    const uint8_t *images;
    int height, width;
    ex_augmentation augment;
    uint64_t seed;
    ex_sgd_coeff sgd;
} ex_cuda_recorded;

struct ex_cuda_plan {
    ex_plan base;
    ex_cuda_lane *lane;
    const ex_model *model;
    ex_plan_buffers buffers;
    ex_cuda_step *steps;
    int step_count, step_room;
    ex_cuda_map *maps; /* (node_count) */
    int *node_step; /* (node_count + 1) forward steps of node n: [node_step[n], node_step[n+1]) */
    int prepared;   /* steps [0, prepared) fold the norms */
    int loss_step;
    ex_cuda_ref grads, input_gradient;
    char *own;
    /* The mask on the device. */
    void *lists;
    const ex_segment *segments;
    size_t segment_count;
    const uint8_t *selected; /* (channel_count), or NULL: all */
    const int32_t *rows;     /* (channel_count) a layer's channels, from its first_channel on */
    float *affine;           /* (2, C) scale and shift of the images' bytes */
    /* Of the step that runs, in training: its samples, and what came out. */
    ex_feed_state *state;
    uint32_t *step_index;      /* (batch) */
    float *step_loss;          /* (batch) */
    int32_t *step_predicted;   /* (batch) */
    uint16_t *step_label;      /* (batch) */
    cudaGraphExec_t recording; /* of EX_CUDA_RECORDED steps; NULL: none */
    ex_cuda_recorded recorded; /* what it was made for */
    bool warm;                 /* a step ran: libraries have loaded what they need */
    /* Of the host: what the copies to `affine` and `state` read, which may be after their calls. */
    float host_affine[2 * EX_CHANNELS_MAX];
    ex_feed_state host_state;
    unsigned arena_moves; /* of the lane when the steps were bound */
    uint64_t version;     /* of the lane's values when the norms were folded */
    /* Of the batch that is queued. */
    const ex_dataset *data;
    const uint8_t *images;
    const uint32_t *index;
    const uint16_t *label;
    float *loss;
    int32_t *predicted;
    ex_sgd_coeff sgd;
};

static inline ex_cuda_plan *ex_cuda_plan_of(const ex_plan *plan)
{
    return (ex_cuda_plan *)plan;
}

static inline bool ex_cuda_trains(const ex_cuda_plan *plan)
{
    return plan->base.spec.use == EX_USE_TRAIN;
}

static inline ex_precision ex_cuda_precision(const ex_cuda_plan *plan)
{
    return plan->lane->device->base.options.precision;
}

static inline ex_stream ex_cuda_stream(const ex_cuda_plan *plan)
{
    return (ex_stream){.threads = 1, .queue = plan->lane->stream};
}

static inline ex_map_shape ex_cuda_shape(const ex_cuda_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    return (ex_map_shape){
        .N = plan->base.spec.batch, .C = n->K, .H = n->out_H, .W = n->out_W, .block = n->K};
}

static inline size_t ex_cuda_map_floats(const ex_cuda_plan *plan, int node)
{
    const ex_map_shape s = ex_cuda_shape(plan, node);
    return (size_t)s.N * (size_t)s.C * (size_t)s.H * (size_t)s.W;
}

static inline const ex_layer *ex_cuda_layer_of(const ex_cuda_plan *plan, int node)
{
    return &plan->model->layers[plan->model->nodes[node].layer];
}

/* The layer's value at `offset` of the parameters; and its gradient. */
static inline ex_cuda_ref ex_cuda_param(size_t offset)
{
    return (ex_cuda_ref){.buffer = EX_BUFFER_PARAMS, .offset = offset};
}

static inline ex_cuda_ref ex_cuda_grad(const ex_cuda_plan *plan, size_t offset)
{
    return (ex_cuda_ref){.buffer = plan->grads.buffer, .offset = offset};
}

/* A new buffer of so many bytes; of a map's floats. */
ex_status ex_cuda_buffer_add(ex_cuda_plan *plan, size_t bytes, ex_cuda_ref *out);
ex_status ex_cuda_map_add(ex_cuda_plan *plan, int node, ex_cuda_ref *out);
/* A new step at the end of the list; *out (may be NULL) is valid until the next one is added. */
ex_status ex_cuda_step_add(ex_cuda_plan *plan, const char *what, int node, ex_cuda_call call,
                           ex_cuda_step **out);
/* Adds a tensor to the last step. */
void ex_cuda_step_ref(ex_cuda_plan *plan, ex_cuda_ref ref);
/* to = from, n floats. */
ex_status ex_cuda_copy_add(ex_cuda_plan *plan, int node, ex_cuda_ref to, ex_cuda_ref from,
                           size_t n);
/* *out = the n floats at `from` where libraries may read them: there, or in an aligned copy. */
ex_status ex_cuda_aligned(ex_cuda_plan *plan, int node, ex_cuda_ref from, size_t n,
                          ex_cuda_ref *out);
/* *out = where a library may write n floats that belong to `to`; ex_cuda_aligned_end brings them
 * there after the step that wrote. */
ex_status ex_cuda_aligned_begin(ex_cuda_plan *plan, ex_cuda_ref to, size_t n, ex_cuda_ref *out);
ex_status ex_cuda_aligned_end(ex_cuda_plan *plan, int node, ex_cuda_ref to, ex_cuda_ref from,
                              size_t n);
float *ex_cuda_at(const ex_cuda_plan *plan, ex_cuda_ref ref);
/* Points every step at its tensors; cheap when the arena has not moved. */
ex_status ex_cuda_bind(ex_cuda_plan *plan);
/* Queues the steps [first, last); those that update only if `update`. */
ex_status ex_cuda_steps(ex_cuda_plan *plan, int first, int last, bool update);
void ex_cuda_steps_free(ex_cuda_plan *plan);

/* A step that runs a graph on tensors ref[0], ref[1], ...: virtual ones' are not read. Where no
 * candidate of the library takes the whole graph, a step for each of its operations. Whether its
 * convolutions are direct is the device's choice. */
ex_status ex_cuda_graph_add(ex_cuda_plan *plan, const char *what, int node, const ex_dnn_graph *g,
                            const ex_cuda_ref *ref);
/* A step for a matrix product. */
ex_status ex_cuda_product_add(ex_cuda_plan *plan, const char *what, int node,
                              const ex_blas_product *p, ex_cuda_ref out, ex_cuda_ref a,
                              ex_cuda_ref b, ex_cuda_ref bias);
/* *out = the plan that the device has chosen for a graph. */
ex_status ex_cuda_choose(ex_dnn_plan **out, ex_cuda_lane *lane, const ex_dnn_graph *g);
void ex_cuda_choices_free(ex_cuda_device *device);

/* --- nodes ------------------------------------------------------------------------------------ */

/* Forward steps of a node; backward steps, given the gradients that its readers left in its map. */
ex_status ex_cuda_conv_forward(ex_cuda_plan *plan, int node);
ex_status ex_cuda_conv_backward(ex_cuda_plan *plan, int node);
ex_status ex_cuda_conv_prepare(ex_cuda_plan *plan, int node); /* evaluation: fold, before forward */
/* Puts the plan's mask on the device. */
ex_status ex_cuda_lists_upload(ex_cuda_plan *plan);
/* Whether so few of the layer's filters are trained that ex_cuda_rows_backward is faster. */
bool ex_cuda_rows_are_few(const ex_cuda_plan *plan, int node);
/* The step for their gradients alone, into plan->grads. */
ex_status ex_cuda_rows_backward(ex_cuda_plan *plan, int node, ex_cuda_ref dy);
ex_status ex_cuda_linear_forward(ex_cuda_plan *plan, int node);
ex_status ex_cuda_linear_backward(ex_cuda_plan *plan, int node);
ex_status ex_cuda_pool_forward(ex_cuda_plan *plan, int node);
ex_status ex_cuda_pool_backward(ex_cuda_plan *plan, int node);
ex_status ex_cuda_shortcut_forward(ex_cuda_plan *plan, int node);
ex_status ex_cuda_shortcut_backward(ex_cuda_plan *plan, int node);

/* Norm of the map's inner value into the node's tensor, with the node's residual and ReLU. */
ex_status ex_cuda_norm_forward(ex_cuda_plan *plan, int node);
/* *out = gradient with respect to the norm's input, given that of the node's tensor. */
ex_status ex_cuda_norm_backward(ex_cuda_plan *plan, int node, ex_cuda_ref *out);
/* Running statistics. */
ex_status ex_cuda_norm_update(ex_cuda_plan *plan, int node);

/* What the node's readers left, summed into one buffer but for the last one, *waiting, which may be
 * nothing: for who can add it on the way. */
ex_status ex_cuda_gradient_pair(ex_cuda_plan *plan, int node, ex_cuda_ref *sum,
                                ex_cuda_ref *waiting);
/* Sums what the node's readers left into one buffer, *out, through its ReLU if `relu`. */
ex_status ex_cuda_gradient_sum(ex_cuda_plan *plan, int node, bool relu, ex_cuda_ref *out);
/* Leaves a contribution to the gradient of `node`. */
ex_status ex_cuda_gradient_give(ex_cuda_plan *plan, int node, ex_cuda_ref gradient, int shortcut);
/* Whether the plan updates channels of the layer. */
bool ex_cuda_layer_trained(const ex_cuda_plan *plan, int layer);

/* --- runs ------------------------------------------------------------------------------------- */

/* Everything that is the same for each batch of a run: data resident, samples uploaded, steps
 * bound, norms folded. */
ex_status ex_cuda_begin(ex_cuda_plan *plan, const ex_dataset *data, const ex_samples *feed);
/* Folds an evaluation plan's norms if the lane's values changed. */
ex_status ex_cuda_prepare(ex_cuda_plan *plan);
/* Points the plan at the samples from `first` on. */
void ex_cuda_batch(ex_cuda_plan *plan, size_t first);
/* Puts the state of a training plan's feed, from its first step on, and of its draws on the device.
 */
ex_status ex_cuda_state_upload(ex_cuda_plan *plan);
/* What a step draws for `use`, and for the dropout of a node: as plan->base.key says, but that the
 * step's own numbers come from the state. */
ex_draws ex_cuda_draws(const ex_cuda_plan *plan, ex_rng_use use);
ex_dropout ex_cuda_dropout(const ex_cuda_plan *plan, int node);
/* Queues the next `steps` training steps of the feed, as many as can be by recordings. */
ex_status ex_cuda_queue_steps(ex_cuda_plan *plan, size_t steps);
void ex_cuda_recording_free(ex_cuda_plan *plan);

/* --- back end --------------------------------------------------------------------------------- */

extern const ex_backend ex_backend_cuda;

ex_status ex_cuda_lane_create(ex_lane **out, ex_device *device, const ex_model *model, int threads);
void ex_cuda_lane_destroy(ex_lane **lane);
ex_status ex_cuda_lane_load(ex_lane *lane, const float *params, const float *stats);
ex_status ex_cuda_lane_store(ex_lane *lane, float *params, float *stats);
ex_status ex_cuda_lane_load_velocity(ex_lane *lane, const float *velocity);
ex_status ex_cuda_lane_store_velocity(ex_lane *lane, float *velocity);

ex_status ex_cuda_plan_create(ex_plan **out, ex_lane *lane, const ex_plan_spec *spec);
void ex_cuda_plan_destroy(ex_plan **plan);
ex_status ex_cuda_train(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                        const ex_sgd_coeff *sgd, ex_train_sums *sums);
ex_status ex_cuda_gradient(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                           ex_gradient *out);
ex_status ex_cuda_evaluate(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                           ex_eval_sums *sums);
ex_status ex_cuda_load(ex_plan *plan, const ex_dataset *data, const ex_samples *feed);
ex_status ex_cuda_forward(ex_plan *plan, int first, int last);
ex_status ex_cuda_fork(ex_plan *to, const ex_plan *from, const ex_fork *fork, int *next);
ex_status ex_cuda_logits(ex_plan *plan, float *logits, int rows);

#endif
