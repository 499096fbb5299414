/* Descriptors of cuDNN's backend API, and its errors. */
#include "cuda/dnn_graph_cudnn_impl.h"

#include "base/memory.h"

enum { LIST_FIRST = 16, MESSAGE = 512 };

ex_status ex_cudnn_status(cudnnStatus_t status, const char *call, const char *where)
{
    char detail[MESSAGE] = "";
    if (status == CUDNN_STATUS_SUCCESS)
        return EX_OK;
    cudnnGetLastErrorString(detail, sizeof detail);
    const bool no_memory = status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
                           status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
    const ex_status code = no_memory ? EX_ERR_MEMORY
                           : CUDNN_STATUS_CATEGORY((int)status) == CUDNN_STATUS_NOT_SUPPORTED
                               ? EX_ERR_UNSUPPORTED
                               : EX_ERR_BACKEND;
    return ex_fail_at(code, where, "%s: %s: %s", call, cudnnGetErrorString(status), detail);
}

ex_status ex_cudnn_create(cudnnBackendDescriptor_t *out, ex_cudnn_list *owned,
                          cudnnBackendDescriptorType_t type)
{
    EX_TRY(ex_grow(&owned->item, owned->count, &owned->room, LIST_FIRST, sizeof *owned->item,
                   "cuDNN descriptors"));
    EX_CUDNN(cudnnBackendCreateDescriptor(type, out));
    owned->item[owned->count++] = *out;
    return EX_OK;
}

ex_status ex_cudnn_make(cudnnBackendDescriptor_t *out, ex_cudnn_list *owned,
                        cudnnBackendDescriptorType_t type, const ex_cudnn_attribute *attributes,
                        size_t count, const char *where)
{
    EX_TRY(ex_cudnn_create(out, owned, type));
    for (size_t i = 0; i < count; i++) {
        const ex_cudnn_attribute *a = &attributes[i];
        EX_TRY(ex_cudnn_status(cudnnBackendSetAttribute(*out, a->name, a->type, a->count, a->value),
                               a->text, where));
    }
    return ex_cudnn_status(cudnnBackendFinalize(*out), "cudnnBackendFinalize", where);
}

void ex_cudnn_list_destroy(ex_cudnn_list *list)
{
    while (list->count > 0)
        cudnnBackendDestroyDescriptor(list->item[--list->count]);
    ex_free(&list->item);
    *list = (ex_cudnn_list){0};
}
