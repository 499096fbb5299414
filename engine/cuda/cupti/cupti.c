#include "cuda/cupti/activity.h"

#include <cupti.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER_BYTES = 4 << 20, CUDA_MAJOR = CUDA_VERSION / 1000 };

static const CUpti_ActivityKind kinds[] = {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
                                           CUPTI_ACTIVITY_KIND_MEMCPY, CUPTI_ACTIVITY_KIND_MEMSET};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* CUPTI's callbacks take no context. */
static struct {
    const ex_cuda_host *host;
    ex_cupti_records records;
    CUptiResult (*listen)(CUpti_BuffersCallbackRequestFunc, CUpti_BuffersCallbackCompleteFunc);
    CUptiResult (*enable)(CUpti_ActivityKind);
    CUptiResult (*disable)(CUpti_ActivityKind);
    CUptiResult (*flush)(uint32_t);
    CUptiResult (*dropped)(CUcontext, uint32_t, size_t *);
    CUptiResult (*text)(CUptiResult, const char **);
} cupti;

static ex_status fail(CUptiResult code, const char *call)
{
    const char *text = NULL;
    if (cupti.text(code, &text) != CUPTI_SUCCESS || !text)
        text = "an unknown error";
    if (code == CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED ||
        code == CUPTI_ERROR_NOT_COMPATIBLE)
        return EX_FAIL(
            EX_ERR_UNSUPPORTED,
            "another profiler holds CUPTI (%s gives %s), and there can be one; leave out "
            "--profile, or nsys, ncu or whatever profiles this process",
            call, text);
    if (code == CUPTI_ERROR_INSUFFICIENT_PRIVILEGES ||
        code == CUPTI_ERROR_VIRTUALIZED_DEVICE_INSUFFICIENT_PRIVILEGES)
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "profiling GPUs is not permitted here (%s gives %s); ask for the driver's "
                       "option NVreg_RestrictProfilingToAdminUsers=0, or leave out --profile",
                       call, text);
    return EX_FAIL(EX_ERR_UNSUPPORTED, "CUPTI's %s gives %s; leave out --profile", call, text);
}

static bool find(void *library, const char *symbol, void *function)
{
    void *found = dlsym(library, symbol);
    memcpy(function, &found, sizeof found); /* a cast would not be C */
    return found != NULL;
}

/* By its name, or where it was when this was built: the toolkit keeps it beside its other
 * libraries. */
static ex_status load(void)
{
    char name[32];
    snprintf(name, sizeof name, "libcupti.so.%d", CUDA_MAJOR);
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        library = dlopen(EX_CUPTI_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "--profile needs CUPTI: %s; install it, or add its folder (the toolkit's "
                       "extras/CUPTI/lib64) to LD_LIBRARY_PATH",
                       dlerror());
    if (find(library, "cuptiActivityGetNextRecord", &cupti.records.next) &&
        find(library, "cuptiActivityRegisterCallbacks", &cupti.listen) &&
        find(library, "cuptiActivityEnable", &cupti.enable) &&
        find(library, "cuptiActivityDisable", &cupti.disable) &&
        find(library, "cuptiActivityFlushAll", &cupti.flush) &&
        find(library, "cuptiActivityGetNumDroppedRecords", &cupti.dropped) &&
        find(library, "cuptiGetResultString", &cupti.text))
        return EX_OK;
    return EX_FAIL(EX_ERR_UNSUPPORTED, "this CUPTI is not of CUDA %d: %s", CUDA_MAJOR, dlerror());
}

/* Without memory CUPTI counts what it drops. */
static void CUPTIAPI request(uint8_t **buffer, size_t *bytes, size_t *most)
{
    *buffer = aligned_alloc(64, BUFFER_BYTES);
    *bytes = *buffer ? BUFFER_BYTES : 0;
    *most = 0; /* as many records as fit */
}

static void CUPTIAPI complete(CUcontext context, uint32_t stream, uint8_t *buffer, size_t bytes,
                              size_t valid)
{
    size_t dropped = 0;
    (void)bytes;
    ex_cupti_read(cupti.host, &cupti.records, buffer, valid);
    free(buffer);
    if (cupti.dropped(context, stream, &dropped) == CUPTI_SUCCESS && dropped > 0)
        cupti.host->profile_lost(dropped);
}

static void disable_all(void)
{
    for (int i = 0; i < KINDS; i++)
        (void)cupti.disable(kinds[i]); /* nothing hangs on it any more */
}

ex_status ex_cupti_begin(const ex_cuda_host *host)
{
    EX_TRY(load());
    cupti.host = host;
    CUptiResult code = cupti.listen(request, complete);
    if (code != CUPTI_SUCCESS)
        return fail(code, "cuptiActivityRegisterCallbacks");
    for (int i = 0; i < KINDS; i++)
        if ((code = cupti.enable(kinds[i])) != CUPTI_SUCCESS) {
            disable_all();
            return fail(code, "cuptiActivityEnable");
        }
    return EX_OK;
}

ex_status ex_cupti_end(void)
{
    const CUptiResult code = cupti.flush(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
    disable_all();
    return code == CUPTI_SUCCESS ? EX_OK : fail(code, "cuptiActivityFlushAll");
}
