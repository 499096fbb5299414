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

/* What a method works on, and what it leaves behind. */
typedef struct ex_unlearning {
    ex_federation *f;      /* its params and stats are changed in place */
    int label;             /* the class that goes */
    ex_effects *effects;   /* measured or read before; NULL where the method needs none */
    ex_mask *mask;         /* made by the method's select; NULL: every value may change */
    ex_samples probe;      /* of the class, for stop_forget */
    ex_run *run;           /* metrics.jsonl goes here; may be NULL (tests) */
    double train_loss;     /* of the epoch or round before a trace point */
    ex_cost reported;      /* ledger's phase "unlearn" at the last line of metrics.jsonl */
    size_t stored_samples; /* distinct ones that the method needs */
    ex_trace_point *trace;
    int trace_count, trace_room;
} ex_unlearning;

typedef struct ex_method {
    const char *name, *help;
    bool needs_effects;
    bool uses_delta;
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

/* For methods: evaluates, appends a trace point and a metrics line, and says by *stop whether the
 * class's accuracy on the probe set is at most stop_forget. `seconds` is compute time so far.
 * Evaluation time is kept out of the ledger's compute_s. */
ex_status ex_unlearning_trace(ex_unlearning *u, int epoch, double seconds, bool *stop);

/* Everything about the request that can be told before any work: the class, its samples, what the
 * method needs, and that the effects (NULL: none given) were measured on these values. */
ex_status ex_unlearn_check(const ex_federation *f, const ex_method *method, int label,
                           const ex_effects *effects);

/* The whole of `excise unlearn`, its check included: before-accuracy, effects (unless given), mask,
 * method, after-accuracy, and report.json's object (*report, new reference). Writes effects.csv,
 * mask.json, model.safetensors, ledger.json, algorithms.json and, last, report.json into run if
 * there is one.
 */
ex_status ex_unlearn(ex_federation *f, const ex_method *method, int label, ex_effects *effects,
                     ex_run *run, json_t **report);

#endif
