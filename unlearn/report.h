/* report.json: what an unlearning run shows. Inside of unlearn/. */
#ifndef EX_REPORT_H
#define EX_REPORT_H

#include "method.h"

/* [{"layer", "channel", "effect"}...]: the `count` channels of highest effect over all layers. A
 * new reference; NULL if out of memory. */
json_t *ex_effects_top_json(const ex_effects *e, int class_index, int count);

/* How well the model does on all of the test set and all of the training set. */
struct ex_standing {
    ex_accuracy test, train;
};

/* Measures it in the ledger phase "evaluate". */
ex_status ex_standing_measure(ex_standing *out, ex_federation *f);
void ex_standing_free(ex_standing *s);

/* The array "trace" of the report; a new reference. */
json_t *ex_trace_json(const ex_unlearning *u);

/* All that a report is made from. */
typedef struct ex_report_input {
    const ex_unlearning *u;
    const ex_method *method;
    const ex_standing *before, *after;
    ex_cost unlearn, ablation; /* of this run alone */
} ex_report_input;

/* A new reference; NULL if out of memory. */
json_t *ex_report_json(const ex_report_input *in);

#endif
