/* A module as the program sees it, with the CPU back end in the place of CUDA's. */
#include "build_id.h"
#include "cuda/module_entry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef STAND_IN_ABI
#define STAND_IN_ABI EX_CUDA_ABI
#endif
#ifndef STAND_IN_BUILD
#define STAND_IN_BUILD EX_BUILD_ID
#endif

static ex_backend backend = {.name = "cuda"};

static ex_status probe(void)
{
    if (getenv("STAND_IN_PROBE"))
        return EX_FAIL(EX_ERR_UNSUPPORTED, "the probe of the module fails: %s",
                       getenv("STAND_IN_PROBE"));
    return EX_OK;
}

#ifdef EXCISE_HAVE_ONEDNN
extern const ex_backend ex_backend_cpu;

static ex_status device_open(ex_device **out, const ex_device_options *options)
{
    *out = NULL;
    if (getenv("STAND_IN_OPEN"))
        return EX_FAIL(EX_ERR_UNSUPPORTED, "the module opens no device: %s",
                       getenv("STAND_IN_OPEN"));
    EX_TRY(ex_backend_cpu.device_open(out, options));
    (*out)->backend = &backend;
    const char *index = options->device ? strchr(options->device, ':') : NULL;
    snprintf((*out)->name, sizeof(*out)->name, "cuda%s", index ? index : ":0");
    ex_log("a line\nof the module");
    ex_log_warn("a warning of the module");
    return EX_OK;
}
#else
static ex_status device_open(ex_device **out, const ex_device_options *options)
{
    (void)options;
    *out = NULL;
    return EX_FAIL(EX_ERR_UNSUPPORTED, "no device in the module");
}
#endif

static void attach(const ex_cuda_host *host)
{
    ex_cuda_module_attach(host);
#ifdef EXCISE_HAVE_ONEDNN
    backend = ex_backend_cpu;
#endif
    backend.name = "cuda";
    backend.probe = probe;
    backend.device_open = device_open;
}

static void versions(ex_cuda_versions *out)
{
    *out = (ex_cuda_versions){.cuda = "98.7", .cudnn = "9.8.7", .cublaslt = "98.7.6"};
}

const ex_cuda_exports ex_cuda_module_exports = {
    .abi = STAND_IN_ABI,
    .build = STAND_IN_BUILD,
    .attach = attach,
    .backend = &backend,
    .versions = versions,
    .profile_begin = ex_cuda_module_profile_begin,
    .profile_end = ex_cuda_module_profile_end,
};
