/* The module's one exported function and what stands behind it. */
#include "build_id.h"
#include "cuda/cupti/activity.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

extern const ex_backend ex_backend_cuda;

static const ex_cuda_host *program;

static void attach(const ex_cuda_host *host)
{
    program = host;
    ex_error_home_set(host->errors);
    ex_log_sink_set(host->log);
}

/* MAJOR * major + MINOR * minor + patch, as NVIDIA's libraries tell theirs. */
static void write_version(char text[24], size_t version, size_t major, size_t minor)
{
    snprintf(text, 24, "%d.%d.%d", (int)(version / major), (int)(version % major / minor),
             (int)(version % minor));
}

/* NCCL is no part of the module: it is only asked where it can be found. */
static void nccl_version(char text[24])
{
    int (*get)(int *version) = NULL;
    int version = 0;
    void *library = dlopen("libnccl.so.2", RTLD_LAZY | RTLD_LOCAL);
    void *found = library ? dlsym(library, "ncclGetVersion") : NULL;
    memcpy(&get, &found, sizeof get);
    if (get && get(&version) == 0)
        write_version(text, (size_t)version, 10000, 100);
}

static void versions(ex_cuda_versions *out)
{
    int runtime = 0;
    *out = (ex_cuda_versions){0};
    if (cudaRuntimeGetVersion(&runtime) == cudaSuccess)
        snprintf(out->cuda, sizeof out->cuda, "%d.%d", runtime / 1000, runtime % 1000 / 10);
    write_version(out->cudnn, cudnnGetVersion(), 10000, 100);
    write_version(out->cublaslt, cublasLtGetVersion(), 10000, 100);
    nccl_version(out->nccl);
}

#ifdef EX_CUPTI_LIBRARY
static ex_status profile_begin(void)
{
    return ex_cupti_begin(program);
}

static ex_status profile_end(void)
{
    return ex_cupti_end();
}
#else
static ex_status profile_begin(void)
{
    (void)program;
    return EX_FAIL(EX_ERR_UNSUPPORTED,
                   "the CUDA back end was built without CUPTI; install the "
                   "toolkit's cuda-cupti and build again, or leave out --profile");
}

static ex_status profile_end(void)
{
    return EX_OK;
}
#endif

static const ex_cuda_exports exports = {
    .abi = EX_CUDA_ABI,
    .build = EX_BUILD_ID,
    .attach = attach,
    .backend = &ex_backend_cuda,
    .versions = versions,
    .profile_begin = profile_begin,
    .profile_end = profile_end,
};

__attribute__((visibility("default"))) const ex_cuda_exports *excise_cuda_module(void);

const ex_cuda_exports *excise_cuda_module(void)
{
    return &exports;
}
