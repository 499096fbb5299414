/* The candidate that is taken for each graph. All lanes and plans of a device take the same one:
 * lanes that chose for themselves would differ in bits. */
#include "base/memory.h"
#include "cuda/cuda_impl.h"

#include <string.h>

void ex_cuda_choices_free(ex_cuda_device *device)
{
    for (int i = 0; i < device->choice_count; i++) {
        ex_free(&device->choices[i].graph);
        ex_free(&device->choices[i].stored);
    }
    ex_free(&device->choices);
}

ex_status ex_cuda_choose(ex_dnn_plan **out, ex_cuda_lane *lane, const ex_dnn_graph *g)
{
    int count;
    ex_status status = EX_ERR_UNSUPPORTED;
    EX_TRY(ex_dnn_plan_count(&count, lane->dnn, g));
    for (int i = 0; i < count && status == EX_ERR_UNSUPPORTED; i++)
        status = ex_dnn_plan_create(out, lane->dnn, g, i, NULL);
    return status;
}

ex_status ex_cuda_algorithms_read(ex_device *device, const char *path)
{
    (void)device;
    (void)path;
    return EX_OK;
}

ex_status ex_cuda_algorithms_write(const ex_device *device, const char *path)
{
    (void)device;
    (void)path;
    return EX_OK;
}
