/* Running a graph of dnn_graph.h in a test: memory for its tensors with guards, random inputs. On a
 * GPU (EX_TEST_MIRRORED) by the library itself, on copies: tests/gpu/mirror.h. */
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
/* Runs the candidate; checks the guards of all tensors and of the workspace. On a GPU any number
 * names a candidate, and what has none as a whole runs operation by operation, where nothing is
 * virtual. */
void ex_graph_run_candidate(ex_graph_run *r, int index);
/* Whether the library has a candidate; on a GPU it need not, and says so. */
bool ex_graph_run_exists(const ex_dnn_graph *g);
void ex_graph_run_close(ex_graph_run *r);
float *ex_graph_run_floats(const ex_graph_run *r, int tensor);
/* sum of a[i] * b[i] over tensors of one size. */
double ex_graph_run_dot(const ex_graph_run *r, int a, int b);

#endif
