/* The executor of dnn_graph.h on cuDNN's backend API.
 *
 * Plans are made from the properties of the handle's device, never from the handle, so that the
 * same code makes plans for a device that is not there (ex_dnn_handle_create_deviceless). */
#include "cuda/dnn_graph_cudnn_impl.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

/* --- handles ---------------------------------------------------------------------------------- */

static ex_status open_device(ex_dnn_handle *h, void *stream)
{
    EX_CUDNN(cudnnCreate(&h->cudnn));
    EX_CUDNN(cudnnSetStream(h->cudnn, stream));
    EX_CUDNN_MAKE(&h->device, &h->owned, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR,
                  EX_CUDNN_ATTR(CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1, &h->cudnn));
    char *text = NULL;
    EX_TRY(ex_cudnn_text(h->device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, &text));
    const ex_status status = ex_cudnn_device_kind(&h->kind, text);
    ex_free(&text);
    return status;
}

static ex_status describe_device(ex_dnn_handle *h, const char *device)
{
    EX_TRY(ex_cudnn_device_kind(&h->kind, device));
    EX_CUDNN_MAKE(&h->device, &h->owned, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR,
                  EX_CUDNN_ATTR(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                (int64_t)strlen(device), device));
    return EX_OK;
}

void ex_dnn_library(char *text, size_t size)
{
    const size_t version = cudnnGetVersion(); /* 91900 */
    snprintf(text, size, "cuDNN %zu.%zu.%zu", version / 10000, version % 10000 / 100,
             version % 100);
}

ex_status ex_dnn_handle_create(ex_dnn_handle **out, void *stream)
{
    EX_TRY(ex_alloc(out, 1, sizeof **out, "cuDNN handle"));
    const ex_status status = open_device(*out, stream);
    if (status != EX_OK)
        ex_dnn_handle_destroy(out);
    return status;
}

ex_status ex_dnn_handle_create_deviceless(ex_dnn_handle **out, const char *device)
{
    EX_TRY(ex_alloc(out, 1, sizeof **out, "cuDNN handle"));
    const ex_status status = describe_device(*out, device);
    if (status != EX_OK)
        ex_dnn_handle_destroy(out);
    return status;
}

void ex_dnn_handle_destroy(ex_dnn_handle **handle)
{
    ex_dnn_handle *h = *handle;
    if (!h)
        return;
    ex_cudnn_choices_leave(&h->choices);
    ex_cudnn_list_destroy(&h->owned);
    if (h->cudnn)
        cudnnDestroy(h->cudnn);
    ex_free(&h->kind);
    ex_free(handle);
}

/* --- plans ------------------------------------------------------------------------------------ */

/* Asks the heuristics, unless it was this graph that they were asked for last. */
static ex_status choices_for(ex_dnn_handle *h, const ex_dnn_graph *g)
{
    char text[EX_GRAPH_TEXT];
    ex_dnn_graph_describe(g, text, sizeof text);
    if (h->choices && strcmp(h->choices->graph, text) == 0)
        return EX_OK;
    ex_cudnn_choices_leave(&h->choices);
    return ex_cudnn_choices_create(&h->choices, h->device, g);
}

ex_status ex_dnn_plan_count(int *count, ex_dnn_handle *handle, const ex_dnn_graph *g)
{
    *count = 0;
    EX_TRY(choices_for(handle, g));
    *count = handle->choices->count;
    return EX_OK;
}

static ex_status build_candidate(ex_dnn_plan *plan, int index)
{
    EX_TRY(choices_for(plan->handle, &plan->graph));
    plan->choices = plan->handle->choices;
    plan->choices->users++;
    EX_CHECK_ARG(index >= 0 && index < plan->choices->count, "candidate %d; there are %d of %s",
                 index, plan->choices->count, plan->choices->graph);
    EX_CUDNN_MAKE(&plan->plan, &plan->owned, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR,
                  EX_CUDNN_ATTR(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                1, &plan->handle->device),
                  EX_CUDNN_ATTR(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                                CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &plan->choices->config[index]));
    return EX_OK;
}

static ex_status build(ex_dnn_plan *plan, int index, const char *stored)
{
    int64_t count = 0;
    EX_TRY(ex_alloc(&plan->bound, 1, sizeof *plan->bound, "cuDNN plan"));
    EX_TRY(stored ? ex_cudnn_plan_restore(plan, stored) : build_candidate(plan, index));
    EX_CUDNN(cudnnBackendGetAttribute(plan->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                      CUDNN_TYPE_INT64, 1, &count, &plan->workspace));
    return EX_OK;
}

ex_status ex_dnn_plan_create(ex_dnn_plan **out, ex_dnn_handle *handle, const ex_dnn_graph *g,
                             int index, const char *stored)
{
    EX_TRY(ex_alloc(out, 1, sizeof **out, "cuDNN plan"));
    (*out)->handle = handle;
    (*out)->graph = *g;
    ex_status status = build(*out, index, stored);
    if (status == EX_OK)
        return EX_OK;
    ex_dnn_plan_destroy(out);
    /* An engine that cuDNN names may still fail to be built, for whatever reason it gives. */
    if (status == EX_ERR_BACKEND)
        status = EX_FAIL(EX_ERR_UNSUPPORTED, "%s", ex_error_message());
    return status;
}

void ex_dnn_plan_destroy(ex_dnn_plan **plan)
{
    ex_dnn_plan *p = *plan;
    if (!p)
        return;
    if (p->bound)
        ex_cudnn_list_destroy(&p->bound->owned);
    ex_free(&p->bound);
    ex_cudnn_list_destroy(&p->owned);
    ex_cudnn_choices_leave(&p->choices);
    ex_free(plan);
}

size_t ex_dnn_plan_workspace(const ex_dnn_plan *plan)
{
    return (size_t)plan->workspace;
}

/* --- runs ------------------------------------------------------------------------------------- */

static ex_status bind(const ex_dnn_plan *plan, void *const *data, void *workspace)
{
    ex_cudnn_bound *b = plan->bound;
    const void *pointer[EX_GRAPH_TENSORS + EX_GRAPH_OPS * EX_CUDNN_SCALARS];
    int64_t id[EX_GRAPH_TENSORS + EX_GRAPH_OPS * EX_CUDNN_SCALARS], count = 0;
    ex_cudnn_list_destroy(&b->owned);
    b->pack = NULL;
    for (int i = 0; i < plan->graph.tensor_count; i++) {
        b->data[i] = data[i];
        if (plan->graph.tensor[i].is_virtual)
            continue;
        pointer[count] = data[i];
        id[count++] = i + 1;
    }
    for (int i = 0; i < plan->graph.op_count; i++) {
        const float *value[EX_CUDNN_SCALARS];
        const int scalars = ex_cudnn_op_scalars(&plan->graph.op[i], value);
        for (int k = 0; k < scalars; k++) {
            pointer[count] = value[k];
            id[count++] = ex_cudnn_scalar_id(i, k);
        }
    }
    b->workspace = workspace;
    EX_CUDNN_MAKE(
        &b->pack, &b->owned, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR,
        EX_CUDNN_ATTR(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, id),
        EX_CUDNN_ATTR(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, pointer),
        EX_CUDNN_ATTR(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace));
    return EX_OK;
}

static bool is_bound(const ex_dnn_plan *plan, void *const *data, const void *workspace)
{
    const ex_cudnn_bound *b = plan->bound;
    return b->pack && b->workspace == workspace &&
           memcmp(b->data, data, (size_t)plan->graph.tensor_count * sizeof *data) == 0;
}

ex_status ex_dnn_plan_run(const ex_dnn_plan *plan, void *const *data, void *workspace)
{
    if (!is_bound(plan, data, workspace)) {
        const ex_status status = bind(plan, data, workspace);
        if (status != EX_OK) {
            plan->bound->pack = NULL;
            return status;
        }
    }
    EX_CUDNN(cudnnBackendExecute(plan->handle->cudnn, plan->plan, plan->bound->pack));
    return EX_OK;
}
