/* The graphs that the CUDA back end makes of the models, each once: test_backend_graphs holds the
 * list against what plans ask for. */
#ifndef EX_MODEL_GRAPHS_H
#define EX_MODEL_GRAPHS_H

#include "cuda/dnn_graph.h"

typedef struct ex_model_graphs {
    ex_dnn_graph *list;
    int count, room;
} ex_model_graphs;

/* Of all models for images of a shape, at one batch size and precision. */
void ex_model_graphs_init(ex_model_graphs *out, ex_model_shape shape, int batch,
                          ex_precision precision);
void ex_model_graphs_close(ex_model_graphs *graphs);

#endif
