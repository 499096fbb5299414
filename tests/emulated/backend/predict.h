/* What a job on the GPU costs, from the model's description alone: what the design says, to hold
 * the emulated device's counters against.
 *
 * launches: kernels and library calls. flop: 2 a multiply-add, of convolutions and linear layers.
 * bytes: maps and filters, each access of a kernel's or library's pass over them once; without the
 * optimizer's. */
#ifndef EX_PREDICT_H
#define EX_PREDICT_H

#include "fork.h"

typedef struct ex_predicted {
    long launches;
    double flop, bytes;
} ex_predicted;

ex_predicted ex_predict_sum(ex_predicted a, ex_predicted b);
ex_predicted ex_predict_times(ex_predicted a, double n);

/* A training step, its samples' way in and out included. mask NULL: everything. */
ex_predicted ex_predict_step(const ex_model *m, int batch, const ex_mask *mask, bool frozen);

/* Evaluation: folding the norms; the batch's input; nodes; the loss. kept: of a plan to fork from.
 */
ex_predicted ex_predict_fold(const ex_model *m);
ex_predicted ex_predict_input(const ex_model *m, int batch);
ex_predicted ex_predict_nodes(const ex_model *m, int batch, int first, int last, bool kept);
ex_predicted ex_predict_loss(const ex_model *m, int batch);

/* A fork of `variants` of `images` into a plan of so many images at once, and the nodes behind it;
 * *own: without those. */
ex_predicted ex_predict_fork(const ex_model *m, int layer, int images, int variants, int batch,
                             ex_predicted *own);

#endif
