/* Inside of the CUDA back end.
 *
 * Plans are those of plan_core.h; here are the steps that libraries compute. A step queues
 * something on the lane's stream: a graph of a library's operations (dnn_graph.h), a matrix product
 * (blas.h), a kernel of ours. Maps lie NHWC: block = C. Nothing waits for the device between two
 * batches.
 *
 * Reading order: lane.h plan.h; plan.c (what makes which node), conv.c norm_library.c pool.c
 * linear.c (the nodes), step.c graph.c (steps), feed.c (samples in, losses out), train.c record.c
 * evaluate.c replay.c ablate.c correct.c readers.c (what runs them), lane.c stage.c memory.c
 * resident.c device.c (what they run on). */
#ifndef EX_CUDA_IMPL_H
#define EX_CUDA_IMPL_H

#include "cuda/plan.h"

/* --- runs ------------------------------------------------------------------------------------- */

/* Everything that is the same for each batch of a run: ready, samples uploaded, started. `more`:
 * bytes of the stage for what comes out beside losses and predictions. */
ex_status ex_cuda_begin(ex_cuda_plan *plan, const ex_dataset *data, const ex_samples *feed,
                        size_t more);
/* Steps bound, data resident: may wait for the lane, and free its stage. */
ex_status ex_cuda_ready(ex_cuda_plan *plan, const ex_dataset *data);
/* Constants uploaded, norms folded: queued behind what the lane runs by then. */
ex_status ex_cuda_start(ex_cuda_plan *plan, const ex_dataset *data);
/* Folds the norms that are kept folded if the lane's values changed. */
ex_status ex_cuda_prepare(ex_cuda_plan *plan);
/* Points the plan at the samples from `first` on. */
void ex_cuda_batch(ex_cuda_plan *plan, size_t first);
/* Puts the state of a training plan's feed, from its sample `first` on, and of its draws on the
 * device. */
ex_status ex_cuda_state_upload(ex_cuda_plan *plan, size_t first);
/* Queues the next `steps` training steps of the feed, as many as can be by recordings. */
ex_status ex_cuda_queue_steps(ex_cuda_plan *plan, size_t steps);

/* Queues nodes of an evaluation plan; those to the end by a recording, from the second time on. */
ex_status ex_cuda_nodes(ex_cuda_plan *plan, int first, int last);
ex_status ex_cuda_replays_create(ex_cuda_plan *plan);
void ex_cuda_replays_free(ex_cuda_plan *plan);

/* What lanes that fork from a plan and the plan itself wait for; where it has none, nothing.
 * create: what was made goes by destroy, after an error too. */
ex_status ex_cuda_readers_create(ex_cuda_readers **out);
void ex_cuda_readers_destroy(ex_cuda_readers **readers);
/* The plan ran; it is about to run again. */
ex_status ex_cuda_readers_ran(const ex_cuda_plan *plan);
ex_status ex_cuda_readers_wait(const ex_cuda_plan *plan);
/* `lane` is about to read what the plan has; it has queued its reads. */
ex_status ex_cuda_readers_begin(const ex_cuda_plan *plan, const ex_cuda_lane *lane);
ex_status ex_cuda_readers_end(const ex_cuda_plan *plan, const ex_cuda_lane *lane);

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
ex_status ex_cuda_reserve(ex_plan *plan, const ex_dataset *data, size_t samples);
ex_status ex_cuda_train(ex_plan *plan, ex_plan *rest, const ex_dataset *data,
                        const ex_samples *feed, const ex_sgd_coeff *sgd, ex_train_sums *sums);
ex_status ex_cuda_gradient(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                           ex_gradient *out);
ex_status ex_cuda_evaluate(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                           ex_eval_sums *sums);
ex_status ex_cuda_load(ex_plan *plan, const ex_dataset *data, const ex_samples *feed);
ex_status ex_cuda_forward(ex_plan *plan, int first, int last);
ex_status ex_cuda_fork(ex_plan *to, const ex_plan *from, const ex_fork *fork, int *next);
ex_status ex_cuda_logits(ex_plan *plan, float *logits, int rows);

#endif
