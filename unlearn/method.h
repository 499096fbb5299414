/* Unlearning methods: one file each in methods/, one row each in the table of method.c. */
#ifndef EX_METHOD_H
#define EX_METHOD_H

#include "effects.h"
#include "run.h"

/* One epoch or round of the trace in report.json. */
typedef struct ex_trace_point {
    int epoch;
    double forget_test, retain_test, forget_probe, seconds;
} ex_trace_point;

typedef struct ex_standing ex_standing; /* report.h */

/* What a method works on, and what it leaves behind. A method goes on after the trace_count epochs
 * or rounds that are complete: 0 in a new run. */
typedef struct ex_unlearning {
    ex_federation *f;    /* its params and stats are changed in place */
    const char *unit;    /* "epoch" or "round": what the method counts */
    int label;           /* the class that goes */
    ex_effects *effects; /* measured or read before; NULL where the method needs none */
    ex_effects *own;     /* those of them that were measured or read here, or NULL */
    ex_mask *mask;       /* made by the method's select; NULL: every value may change */
    ex_samples probe;    /* of the class, for stop_forget */
    ex_run *run;         /* metrics.jsonl goes here; may be NULL (tests) */
    double train_loss;   /* of the epoch or round before a trace point */
    ex_cost reported;    /* ledger's phase "unlearn" at the last line of metrics.jsonl */
    struct {
        ex_cost unlearn, ablation;
    } earlier;             /* other requests' on the same ledger */
    json_t *began;         /* the ledger when the run began, which tells them; NULL: not taken */
    uint64_t selected;     /* digest of the mask that the run began with; 0: it had none yet */
    size_t stored_samples; /* distinct ones that the method needs */
    float *velocity;       /* (param_count) the server's momentum after the last epoch, or NULL */
    uint64_t digest;       /* of the model that the run began with */
    ex_standing *before;   /* of that model; NULL until it is measured */
    bool ablated;          /* the effects were measured in this run */
    ex_trace_point *trace;
    int trace_count, trace_room;
} ex_unlearning;

typedef struct ex_method {
    const char *name, *help;
    bool needs_effects;
    bool uses_delta;
    bool on_server;    /* the server trains alone, and its momentum goes on from epoch to epoch */
    bool from_scratch; /* starts from freshly initialised values */
    /* What the method cannot work without; EX_ERR_CONFIG saying what to do. Changes nothing. */
    ex_status (*check)(const ex_federation *f, int label);
    /* Makes u->mask; NULL: none is needed. */
    ex_status (*select)(ex_unlearning *u);
    /* Changes the federation's values; the ledger phase "unlearn" is open. */
    ex_status (*run)(ex_unlearning *u);
} ex_method;

extern const ex_method ex_method_ce, ex_method_de, ex_method_de_random, ex_method_head,
    ex_method_retrain;

const ex_method *const *ex_methods(void); /* NULL-terminated */
/* EX_ERR_USAGE listing the names for an unknown one. */
ex_status ex_method_find(const ex_method **out, const char *name);

/* "epoch" or "round": what the method's trace and checkpoints count. */
const char *ex_method_unit(const ex_method *method);

/* For methods: evaluates, appends a trace point and a metrics line, writes a checkpoint if there is
 * a run, and says by *stop whether the class's accuracy on the probe set is at most stop_forget.
 * An interruption waits until that is done. `seconds` is compute time so far. Evaluation time is
 * kept out of the ledger's compute_s. */
ex_status ex_unlearning_trace(ex_unlearning *u, int epoch, double seconds, bool *stop);
/* Adds a point to u->trace. */
ex_status ex_unlearning_append(ex_unlearning *u, const ex_trace_point *point);
/* For methods, where they begin or go on: what the last trace point said. */
void ex_unlearning_standing(const ex_unlearning *u, double *seconds, bool *stop);

/* What is asked for. */
typedef struct ex_request {
    const ex_method *method;
    int label;
    ex_effects *effects; /* NULL: ablate, where the method needs them */
    ex_run *run;         /* NULL: nothing is written */
    bool resume;         /* go on from the run's checkpoint; effects come from its effects.csv */
} ex_request;

/* Everything about the request that can be told before any work: the class, its samples, what the
 * method needs, and that the effects (NULL: none given) were measured on these values. */
ex_status ex_unlearn_check(const ex_federation *f, const ex_method *method, int label,
                           const ex_effects *effects);

/* The whole of `excise unlearn`, its check included: before-accuracy, effects (unless given), mask,
 * method, after-accuracy, and report.json's object (*report, new reference). Writes config.yaml,
 * effects.csv, mask.json, model.safetensors, ledger.json, algorithms.json and, last, report.json
 * into run if there is one, and a checkpoint before the first epoch or round and after each. */
ex_status ex_unlearn_request(ex_federation *f, const ex_request *request, json_t **report);
/* The same into the run folder `path`, which it opens; request->run is not looked at. A refused
 * request leaves nothing; nor does one that diverges before anything is complete. What else stops a
 * run leaves what is complete: *complete is then how many epochs or rounds its checkpoint holds,
 * and -1 otherwise. */
ex_status ex_unlearn_into(ex_federation *f, const ex_request *request, const char *path,
                          ex_run_mode mode, json_t **report, int *complete);
/* ex_unlearn_request for a new run. */
ex_status ex_unlearn(ex_federation *f, const ex_method *method, int label, ex_effects *effects,
                     ex_run *run, json_t **report);

#endif
