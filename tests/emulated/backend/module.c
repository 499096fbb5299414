/* In place of the module that is loaded on demand: the back end that is linked in. */
#include "cuda_module.h"

extern const ex_backend ex_backend_cuda;

ex_status ex_cuda_module(const ex_backend **out)
{
    *out = &ex_backend_cuda;
    return EX_OK;
}

ex_status ex_cuda_module_versions(ex_cuda_versions *out)
{
    *out = (ex_cuda_versions){.cuda = "emulated"};
    return EX_OK;
}

bool ex_cuda_module_is_loaded(void)
{
    return true;
}

ex_status ex_cuda_module_profile(void)
{
    return EX_OK;
}
