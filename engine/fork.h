/* What a fork (ex_plan_fork) does about each node: the same decisions on every back end that
 * corrects convolutions instead of running them.
 *
 * The ablated layer itself does not run again: a zeroed filter leaves the constant that its norm
 * makes of 0 (plus the residual), a zeroed activation leaves 0. Nor do the convolutions that read
 * nothing else that changed: they are corrected, also through a pooling, whose map changes in the
 * same channel. What else reads the ablated map alone runs on the variants; the first node that
 * reads more than one changed channel is left to the caller. */
#ifndef EX_FORK_H
#define EX_FORK_H

#include "backend.h"

/* ... and so what the node's tensor is. */
typedef enum ex_deed {
    EX_DEED_SAME,    /* copies of what `from` has */
    EX_DEED_ABLATED, /* the layer's own node: copies, one channel replaced */
    EX_DEED_POOLED,  /* the same behind a pooling of a channel that is constant */
    EX_DEED_CORRECTED,
    EX_DEED_RUN, /* on the variants */
} ex_deed;

typedef struct ex_fork_deeds {
    const ex_model *model;
    int node, next; /* the layer's; the first one that is left */
    bool constant;  /* the replaced channel has one value */
    uint8_t *deed;  /* (node_count), valid before `next` */
} ex_fork_deeds;

/* Whether a plan corrects a node behind one changed channel. */
typedef bool (*ex_fork_corrects)(const void *plan, int node);

/* Decides for the layer and the kind of ablation of `f`. */
ex_status ex_fork_decide(ex_fork_deeds *out, const ex_model *model, const ex_fork *f,
                         ex_fork_corrects corrects, const void *plan);
void ex_fork_deeds_free(ex_fork_deeds *deeds);
/* Whether a node that runs, in the fork or later, reads the tensor. */
bool ex_fork_wants(const ex_fork_deeds *deeds, int node);

/* What channel c of the layer's norm makes of a filter of zeros; 0 without a norm. */
float ex_fork_constant(const ex_layer *layer, size_t c, const float *params, const float *stats);

#endif
