/* The interface between the engine and what computes: CPU (oneDNN) or CUDA.
 *
 * Device = an opened back end with its options. Lane = a stream's worth of state on it: a model's
 * values (params, stats, velocity), workspace, threads. Plan = a model compiled on a lane for one
 * use and batch size; running one allocates nothing, unless a plan of its lane went since it last
 * ran and took their scratch memory along. Plans of one lane share that memory, so
 * only one of them may run at a time, and what a plan computed is gone once another plan of the
 * same lane was made, has run or was destroyed (but for the nodes kept by keep_nodes). A lane is
 * used by one thread at a time.
 *
 * A back end is a `const ex_backend` of function pointers, chosen by name (backend.c). Callers use
 * the ex_device_, ex_lane_ and ex_plan_ functions below it, which check what they are given; a back
 * end is not asked for what a plan is not for. What back ends share: lane_core.h, plan_core.h. */
#ifndef EX_BACKEND_H
#define EX_BACKEND_H

#include "base/rng.h"
#include "data/dataset.h"
#include "kernels.h"
#include "model/mask.h"
#include "model/model.h"

typedef struct ex_backend ex_backend;

typedef enum ex_precision { EX_FP32, EX_TF32, EX_BF16 } ex_precision;

/* How a convolution's algorithm is chosen. auto: each candidate is timed once per layer and pass,
 * and the choice is remembered by the device (ex_device_algorithms_*). */
typedef enum ex_conv_choice { EX_CONV_AUTO, EX_CONV_DIRECT } ex_conv_choice;

typedef struct ex_device_options {
    const char *device; /* auto, cpu, cuda, cuda:N */
    ex_precision precision;
    ex_conv_choice conv;
    size_t memory;        /* bytes that plans may take in all; 0 = no limit */
    int steps_per_launch; /* cuda: training steps recorded as one launch; 0 = EX_STEPS_PER_LAUNCH */
} ex_device_options;

enum { EX_STEPS_PER_LAUNCH = 8 };

typedef struct ex_device {
    const ex_backend *backend;
    ex_device_options options;
    char name[64];         /* "cpu", "cuda:0" */
    char description[192]; /* processor, instruction set or GPU name */
    int lanes_default;     /* how many lanes of one thread fill it, if its memory holds as many */
    int images_at_once;    /* that fill it in an evaluation */
    size_t cache;          /* of a lane, in bytes; 0: it is not asked for */
    int steps_a_run; /* steps that ex_plan_train is best given at once: it waits for their end */
} ex_device;

typedef struct ex_lane {
    ex_device *device;
    const ex_model *model;
    int threads;
    /* (param_count), (stat_count) of the model: the lane's own values as they are between calls,
     * for as long as it lives, where the host can read them; else NULL. */
    const float *host_params, *host_stats;
} ex_lane;

typedef enum ex_use {
    EX_USE_TRAIN,    /* forward, backward, update; also ex_plan_gradient */
    EX_USE_EVALUATE, /* forward with folded norms; also the ablation calls */
} ex_use;

typedef enum ex_norm_mode {
    EX_NORM_TRAIN,  /* normalise by the batch; running statistics of trained channels move */
    EX_NORM_FROZEN, /* normalise by the running statistics, which stay */
} ex_norm_mode;

typedef struct ex_plan_spec {
    ex_use use;
    int batch;           /* TRAIN: exactly; EVALUATE: at most, a shorter feed is padded */
    ex_norm_mode norm;   /* TRAIN */
    const ex_mask *mask; /* TRAIN: what is updated; NULL = everything. Must outlive the plan */
    bool input_gradient; /* TRAIN: ex_plan_gradient can give dinput */
    bool keep_nodes;     /* EVALUATE: every node's tensor stays readable until the next run */
} ex_plan_spec;

typedef struct ex_plan {
    ex_lane *lane;
    ex_plan_spec spec;
    size_t bytes; /* memory of its own, scratch included */
    /* TRAIN: seed, client, round, epoch and step of the next step, which name its random draws
     * (dropout, augmentation). The caller's to set; ex_plan_train counts the steps on,
     * ex_plan_gradient does not. */
    ex_rng_key key;
} ex_plan;

/* Sums over the samples of a run. */
typedef struct ex_train_sums {
    double loss; /* sum of per-sample losses */
    size_t correct, count;
} ex_train_sums;

/* Arrays of the caller's: per class of the label, (classes) each; either may be NULL. */
typedef struct ex_eval_sums {
    double loss; /* sum */
    size_t correct, count;
    size_t *class_correct, *class_count;
    float *logits; /* (samples, classes) or NULL */
} ex_eval_sums;

/* Results of one batch's forward and backward without an update; NULL pointers are skipped. */
typedef struct ex_gradient {
    double loss;   /* mean over the batch */
    float *logits; /* (batch, classes) */
    float *params; /* (param_count) */
    float *input;  /* (batch, C, H, W) NCHW, of the network's input; needs spec.input_gradient */
} ex_gradient;

typedef enum ex_ablation {
    EX_ABLATE_FILTER,     /* filter row and bias are zero; the norm still emits its constant */
    EX_ABLATE_ACTIVATION, /* the layer's output map, after norm, residual and ReLU, is zero */
} ex_ablation;

/* V variants of what `from` computed, written into plan `to` (see ex_plan_fork). */
typedef struct ex_fork {
    int layer; /* whose channels are ablated */
    ex_ablation ablation;
    const int32_t *channel; /* (V), -1 for an unchanged copy */
    int variants;           /* V; V * images <= to's batch */
    int images;             /* images of `from` in use */
} ex_fork;

struct ex_backend {
    const char *name;
    /* EX_OK, or why it cannot be used here (message). */
    ex_status (*probe)(void);
    ex_status (*device_open)(ex_device **out, const ex_device_options *options);
    void (*device_close)(ex_device **device);
    ex_status (*algorithms_read)(ex_device *device, const char *path);
    ex_status (*algorithms_write)(const ex_device *device, const char *path);
    /* Of a device with memory of its own; NULL where it computes in the host's. */
    ex_status (*memory_left)(ex_device *device, size_t *bytes);

    ex_status (*lane_create)(ex_lane **out, ex_device *device, const ex_model *model, int threads);
    void (*lane_destroy)(ex_lane **lane);
    ex_status (*lane_load)(ex_lane *lane, const float *params, const float *stats);
    ex_status (*lane_store)(ex_lane *lane, float *params, float *stats);
    ex_status (*lane_load_velocity)(ex_lane *lane, const float *velocity);
    ex_status (*lane_store_velocity)(ex_lane *lane, float *velocity);

    ex_status (*plan_create)(ex_plan **out, ex_lane *lane, const ex_plan_spec *spec);
    void (*plan_destroy)(ex_plan **plan);
    /* NULL where a run takes nothing. */
    ex_status (*plan_reserve)(ex_plan *plan, const ex_dataset *data, size_t samples);
    ex_status (*plan_train)(ex_plan *plan, ex_plan *rest, const ex_dataset *data,
                            const ex_samples *feed, const ex_sgd_coeff *sgd, ex_train_sums *sums);
    ex_status (*plan_gradient)(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                               ex_gradient *out);
    ex_status (*plan_evaluate)(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                               ex_eval_sums *sums);
    ex_status (*plan_load)(ex_plan *plan, const ex_dataset *data, const ex_samples *feed);
    ex_status (*plan_forward)(ex_plan *plan, int first, int last);
    ex_status (*plan_fork)(ex_plan *to, const ex_plan *from, const ex_fork *fork, int *next);
    ex_status (*plan_logits)(ex_plan *plan, float *logits, int rows);
};

/* --- devices ------------------------------------------------------------------------------- */

/* "auto" takes the first back end that can be used. EX_ERR_UNSUPPORTED with the reason otherwise.
 */
ex_status ex_device_open(ex_device **out, const ex_device_options *options);
void ex_device_close(ex_device **device);
/* The algorithms chosen so far, as a JSON file: read before plans are made, a run repeats the same
 * choices and so the same bits. Reading ignores a file made for another processor or library
 * version, and says so in the log. */
ex_status ex_device_read_algorithms(ex_device *device, const char *path);
ex_status ex_device_write_algorithms(const ex_device *device, const char *path);
/* Whether lanes have to fit into memory of the device's own; they then have no cores of the host
 * either. */
bool ex_device_has_memory(const ex_device *device);
/* Bytes of it that are free and that options.memory allows; SIZE_MAX where there is none. */
ex_status ex_device_memory_left(ex_device *device, size_t *bytes);

/* --- lanes --------------------------------------------------------------------------------- */

ex_status ex_lane_create(ex_lane **out, ex_device *device, const ex_model *model, int threads);
void ex_lane_destroy(ex_lane **lane);
/* Sets the lane's values from host vectors and zeroes the velocity; and reads them back. */
ex_status ex_lane_load(ex_lane *lane, const float *params, const float *stats);
ex_status ex_lane_store(ex_lane *lane, float *params, float *stats);
ex_status ex_lane_load_velocity(ex_lane *lane, const float *velocity); /* (param_count) */
ex_status ex_lane_store_velocity(ex_lane *lane, float *velocity);

/* --- plans --------------------------------------------------------------------------------- */

ex_status ex_plan_create(ex_plan **out, ex_lane *lane, const ex_plan_spec *spec);
void ex_plan_destroy(ex_plan **plan);
/* TRAIN: takes what training on so many samples of `data` in one call needs beside the plans, so
 * that the run takes nothing. */
ex_status ex_plan_reserve(ex_plan *plan, const ex_dataset *data, size_t samples);

/* The stream of random words that the step of plan->key has for `use`; for back ends. */
ex_draws ex_plan_draws(const ex_plan *plan, ex_rng_use use);
/* What the step of plan->key drops of the values that linear node `node` reads; rate 0: nothing.
 * The nodes of a model draw one after the other from one stream. */
ex_dropout ex_plan_dropout(const ex_plan *plan, int node);

/* Trains on `feed` in order, spec.batch samples a step; feed->count must be a multiple of it. Adds
 * to *sums. A loss that is not finite stops the run: EX_ERR_NUMERIC naming the step, with the steps
 * before it in *sums; on CUDA, where it shows when all steps of the call were run, the lane's
 * values are then of no use. */
ex_status ex_plan_train(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                        const ex_sgd_coeff *sgd, ex_train_sums *sums);
/* The same, with feed's last samples, fewer than a batch, as a last step of `rest`, a plan of the
 * same lane for so many; NULL: none are left over. The device is waited for once. The step is named
 * by plan->key like those before it; rest->key is overwritten. */
ex_status ex_plan_train_epoch(ex_plan *plan, ex_plan *rest, const ex_dataset *data,
                              const ex_samples *feed, const ex_sgd_coeff *sgd, ex_train_sums *sums);
/* Forward and backward of exactly spec.batch samples; running statistics and values stay. With a
 * mask, gradients outside it are 0. */
ex_status ex_plan_gradient(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                           ex_gradient *out);
/* Any number of samples; adds to *sums. A NaN in the logits is counted as wrong, not reported. */
ex_status ex_plan_evaluate(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                           ex_eval_sums *sums);

/* Ablation on EVALUATE plans: load a batch into node 0, run nodes first..last, fork, run the
 * rest, read the logits.
 *
 * ex_plan_fork needs from->spec.keep_nodes, with every node already run on `from`. Of the nodes
 * after the layer's own it computes as many as it likes from what `from` holds (a convolution's
 * outputs change by one input channel's contribution alone), at least none: *next is the first one
 * that is left, node_count if none is. It fills in `to` every tensor of a node before *next that
 * *next or a later node reads: V copies each, with channel[v] of the layer ablated in copy v. Then
 * ex_plan_forward(to, *next, last), nothing where *next > last, gives (V * images) rows of logits.
 * *next depends on the two plans, the layer and the kind of ablation alone. `to` may be on the same
 * lane or on another with the same model values. */
ex_status ex_plan_load(ex_plan *plan, const ex_dataset *data, const ex_samples *feed);
ex_status ex_plan_forward(ex_plan *plan, int first, int last);
ex_status ex_plan_fork(ex_plan *to, const ex_plan *from, const ex_fork *fork, int *next);
ex_status ex_plan_logits(ex_plan *plan, float *logits, int rows);

#endif
