#include "module_entry.h"

#include "cupti/activity.h"

static const ex_cuda_host *program;

void ex_cuda_module_attach(const ex_cuda_host *host)
{
    program = host;
    ex_error_home_set(host->errors);
    ex_log_sink_set(host->log);
}

#ifdef EX_CUPTI_LIBRARY
ex_status ex_cuda_module_profile_begin(void)
{
    return ex_cupti_begin(program);
}

ex_status ex_cuda_module_profile_end(void)
{
    return ex_cupti_end();
}
#else
ex_status ex_cuda_module_profile_begin(void)
{
    (void)program;
    return EX_FAIL(EX_ERR_UNSUPPORTED,
                   "the CUDA back end was built without CUPTI; install the "
                   "toolkit's cuda-cupti and build again, or leave out --profile");
}

ex_status ex_cuda_module_profile_end(void)
{
    return EX_OK;
}
#endif

__attribute__((visibility("default"))) const ex_cuda_exports *excise_cuda_module(void);

const ex_cuda_exports *excise_cuda_module(void)
{
    return &ex_cuda_module_exports;
}
