/* The module's table: the back end, and the versions of what it is linked to. */
#include "build_id.h"
#include "module_entry.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

extern const ex_backend ex_backend_cuda;

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

const ex_cuda_exports ex_cuda_module_exports = {
    .abi = EX_CUDA_ABI,
    .build = EX_BUILD_ID,
    .attach = ex_cuda_module_attach,
    .backend = &ex_backend_cuda,
    .versions = versions,
    .profile_begin = ex_cuda_module_profile_begin,
    .profile_end = ex_cuda_module_profile_end,
};
