/* What the files of the cuDNN executor share: descriptors of the backend API, and handles.
 *
 * dnn_graph_cudnn.c         the functions of dnn_graph.h
 * dnn_graph_cudnn_desc.c    descriptors, and cuDNN's errors
 * dnn_graph_cudnn_lower.c   an ex_dnn_graph as cuDNN's operation graph; its norms are in
 *                           dnn_graph_cudnn_norm.c, its pools in dnn_graph_cudnn_pool.c
 * dnn_graph_cudnn_engine.c  what cuDNN can run it by
 * dnn_graph_cudnn_store.c   plans as text */
#ifndef EX_CUDA_DNN_GRAPH_CUDNN_IMPL_H
#define EX_CUDA_DNN_GRAPH_CUDNN_IMPL_H

#include "cuda/dnn_graph.h"

#include <cudnn_graph.h>

#if CUDNN_VERSION < 90800
#error "cuDNN 9.8 or later is needed: earlier ones make no plans from a device's properties"
#endif

/* --- errors ----------------------------------------------------------------------------------- */

/* EX_OK, or the status with a message: the call, cuDNN's status and its last error. Unsupported by
 * cuDNN is EX_ERR_UNSUPPORTED, no memory is EX_ERR_MEMORY, all else EX_ERR_BACKEND. */
ex_status ex_cudnn_status(cudnnStatus_t status, const char *call, const char *where);
#define EX_CUDNN(call) EX_TRY(ex_cudnn_status((call), #call, EX_WHERE))

/* --- descriptors ------------------------------------------------------------------------------ */

/* Descriptors that are destroyed together, last first. */
typedef struct ex_cudnn_list {
    cudnnBackendDescriptor_t *item;
    int count, room;
} ex_cudnn_list;

typedef struct ex_cudnn_attribute {
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t count;
    const void *value;
    const char *text; /* the name */
} ex_cudnn_attribute;

#define EX_CUDNN_ATTR(name, type, count, value)                                                    \
    {                                                                                              \
        (name), (type), (count), (value), #name                                                    \
    }

/* A new descriptor, not finalized; `owned` owns it. */
ex_status ex_cudnn_create(cudnnBackendDescriptor_t *out, ex_cudnn_list *owned,
                          cudnnBackendDescriptorType_t type);
/* A new descriptor with these attributes, finalized. */
ex_status ex_cudnn_make(cudnnBackendDescriptor_t *out, ex_cudnn_list *owned,
                        cudnnBackendDescriptorType_t type, const ex_cudnn_attribute *attributes,
                        size_t count, const char *where);
/* The same, the attributes as EX_CUDNN_ATTR(...), ... */
#define EX_CUDNN_MAKE(out, owned, type, ...)                                                       \
    EX_TRY(ex_cudnn_make(                                                                          \
        (out), (owned), (type), (const ex_cudnn_attribute[]){__VA_ARGS__},                         \
        sizeof(const ex_cudnn_attribute[]){__VA_ARGS__} / sizeof(ex_cudnn_attribute), EX_WHERE))
void ex_cudnn_list_destroy(ex_cudnn_list *list);

/* --- graphs and what runs them ---------------------------------------------------------------- */

/* *out: the operation graph; tensor i has the unique id i + 1. */
ex_status ex_cudnn_lower(cudnnBackendDescriptor_t *out, ex_cudnn_list *owned,
                         const ex_dnn_graph *g);

/* Numbers that an operation takes from the host's memory beside its tensors: how many, and where
 * they are, as long as the operation is there. Each has the unique id that ex_cudnn_scalar_id
 * gives it. */
enum { EX_CUDNN_SCALARS = 2 };
int ex_cudnn_op_scalars(const ex_graph_op *op, const float *value[EX_CUDNN_SCALARS]);
int64_t ex_cudnn_scalar_id(int op, int which);

/* The engine configurations for a graph, best guess first. Shared by the handle that found them and
 * the plans made of them. */
typedef struct ex_cudnn_choices {
    int users;
    char graph[EX_GRAPH_TEXT];
    ex_cudnn_list owned;
    cudnnBackendDescriptor_t *config;
    int count, room;
    int found; /* before those were left out that break the graph's promises */
} ex_cudnn_choices;

ex_status ex_cudnn_choices_create(ex_cudnn_choices **out, cudnnBackendDescriptor_t device,
                                  const ex_dnn_graph *g);
/* One user less; destroyed with the last. */
void ex_cudnn_choices_leave(ex_cudnn_choices **choices);

struct ex_dnn_handle {
    cudnnHandle_t cudnn; /* NULL without a device: plans are made, not run */
    ex_cudnn_list owned;
    cudnnBackendDescriptor_t device; /* its properties */
    char *kind;                      /* of GPU */
    ex_cudnn_choices *choices;       /* of the graph that was asked for last */
};

/* The pointers of the last run, with cuDNN's packed form of them: lanes run a plan on the same
 * memory over and over. */
typedef struct ex_cudnn_bound {
    void *data[EX_GRAPH_TENSORS], *workspace;
    ex_cudnn_list owned;
    cudnnBackendDescriptor_t pack; /* NULL: none yet */
} ex_cudnn_bound;

struct ex_dnn_plan {
    ex_dnn_handle *handle;
    ex_dnn_graph graph;
    ex_cudnn_choices *choices; /* NULL: the plan was stored */
    ex_cudnn_list owned;
    cudnnBackendDescriptor_t plan;
    int64_t workspace;
    ex_cudnn_bound *bound;
};

/* *text: a descriptor's attribute of characters, freed by ex_free. */
ex_status ex_cudnn_text(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                        char **text);
/* *kind: the name of a kind of GPU in cuDNN's description of one (JSON), freed by ex_free. */
ex_status ex_cudnn_device_kind(char **kind, const char *device);
/* plan->plan as ex_dnn_plan_store wrote it. */
ex_status ex_cudnn_plan_restore(ex_dnn_plan *plan, const char *stored);
/* Whether a configuration's engine compiles its kernel when the plan is made, by NVRTC. */
ex_status ex_cudnn_compiles(cudnnBackendDescriptor_t config, bool *compiles);

/* For tests: a handle for a device that is not there, given cuDNN's description of it (JSON). */
ex_status ex_dnn_handle_create_deviceless(ex_dnn_handle **out, const char *device);

#endif
