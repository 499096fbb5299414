/* Running a graph of dnn_graph.h in a test: memory for its tensors with guards, random inputs. */
#ifndef EX_GRAPH_FIXTURE_H
#define EX_GRAPH_FIXTURE_H

#include "test.h"

#include "cuda/dnn_graph.h"

typedef struct ex_graph_run {
    const ex_dnn_graph *graph;
    void *data[EX_GRAPH_TENSORS]; /* NULL for virtual tensors */
} ex_graph_run;

/* Every tensor that no operation writes is random in [-1, 1); the others are NaN. */
void ex_graph_run_init(ex_graph_run *r, const ex_dnn_graph *g);
/* Runs the candidate; checks the guards of all tensors and of the workspace. */
void ex_graph_run_candidate(ex_graph_run *r, int index);
void ex_graph_run_close(ex_graph_run *r);
float *ex_graph_run_floats(const ex_graph_run *r, int tensor);
/* sum of a[i] * b[i] over tensors of one size. */
double ex_graph_run_dot(const ex_graph_run *r, int a, int b);

#endif
