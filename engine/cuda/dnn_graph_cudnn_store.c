/* Plans as text: a head of three lines (library, kind of device, graph), then cuDNN's JSON. */
#include "cuda/dnn_graph_cudnn_impl.h"

#include "base/memory.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

ex_status ex_cudnn_text(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                        char **text)
{
    int64_t count = 0;
    *text = NULL;
    EX_CUDNN(cudnnBackendGetAttribute(descriptor, name, CUDNN_TYPE_CHAR, 0, &count, NULL));
    EX_TRY(ex_alloc(text, (size_t)count + 1, 1, "cuDNN's text"));
    const ex_status status = ex_cudnn_status(
        cudnnBackendGetAttribute(descriptor, name, CUDNN_TYPE_CHAR, count, &count, *text),
        "cudnnBackendGetAttribute of a text", EX_WHERE);
    if (status != EX_OK)
        ex_free(text);
    return status;
}

ex_status ex_cudnn_device_kind(char **kind, const char *device)
{
    enum { KIND = 160 };
    const char *name = NULL;
    int version = 0, processors = 0;
    json_t *root = json_loads(device, 0, NULL);
    const bool read = root && json_unpack(root, "{s:s, s:i, s:i}", "deviceName", &name, "deviceVer",
                                          &version, "multiProcessorCount", &processors) == 0;
    ex_status status = read ? ex_alloc(kind, KIND, 1, "a device's name")
                            : EX_FAIL(EX_ERR_BACKEND,
                                      "cuDNN describes its device without deviceName, deviceVer or "
                                      "multiProcessorCount: %s",
                                      device);
    if (status == EX_OK)
        snprintf(*kind, KIND, "%.99s, sm_%d, %d processors", name, version / 10, processors);
    json_decref(root);
    return status;
}

/* What a stored plan is good for. */
static ex_status origin(const ex_dnn_plan *plan, char **text)
{
    char graph[EX_GRAPH_TEXT];
    ex_dnn_graph_describe(&plan->graph, graph, sizeof graph);
    const size_t size = strlen(graph) + strlen(plan->handle->kind) + 64;
    EX_TRY(ex_alloc(text, size, 1, "a stored plan"));
    snprintf(*text, size, "cudnn %zu\n%s\n%s\n", cudnnGetVersion(), plan->handle->kind, graph);
    return EX_OK;
}

ex_status ex_cudnn_plan_restore(ex_dnn_plan *plan, const char *stored)
{
    char *expected = NULL;
    EX_TRY(origin(plan, &expected));
    const size_t length = strlen(expected);
    const bool fits = strncmp(stored, expected, length) == 0;
    ex_free(&expected);
    if (!fits)
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "the stored plan is another graph's, or was made for another GPU or cuDNN");
    stored += length;
    EX_CUDNN_MAKE(&plan->plan, &plan->owned, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR,
                  EX_CUDNN_ATTR(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                1, &plan->handle->device),
                  EX_CUDNN_ATTR(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                (int64_t)strlen(stored), stored));
    return EX_OK;
}

ex_status ex_dnn_plan_store(const ex_dnn_plan *plan, char **text)
{
    char *head = NULL, *body = NULL;
    ex_status status;
    *text = NULL;
    EX_TRY(origin(plan, &head));
    EX_TRY_GOTO(ex_cudnn_text(plan->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, &body),
                out);
    const size_t first = strlen(head), second = strlen(body);
    EX_TRY_GOTO(ex_alloc(text, first + second + 1, 1, "a stored plan"), out);
    memcpy(*text, head, first);
    memcpy(*text + first, body, second + 1);
out:
    ex_free(&body);
    ex_free(&head);
    return status;
}
