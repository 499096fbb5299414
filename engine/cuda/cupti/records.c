/* Activity records as rows of the profile. Their structs grow from version to version of CUDA: what
 * is read here lies at the same place in all of CUDA 12 and 13. */
#include "cuda/cupti/activity.h"

#include <cupti.h>
#include <stdio.h>
#include <stdlib.h>

/* Of the C++ runtime, which cuDNN brings along; without it names stay as linkers see them. */
extern char *__cxa_demangle(const char *name, char *out, size_t *room, int *status)
    __attribute__((weak));

static const char *direction(int kind)
{
    switch (kind) {
    case CUPTI_ACTIVITY_MEMCPY_KIND_HTOD:
        return "HtoD";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOH:
        return "DtoH";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOD:
        return "DtoD";
    case CUPTI_ACTIVITY_MEMCPY_KIND_HTOH:
        return "HtoH";
    case CUPTI_ACTIVITY_MEMCPY_KIND_PTOP:
        return "PtoP";
    default:
        return "other";
    }
}

/* Times are nanoseconds; 0 and 0 says that CUPTI could not tell. */
static void hand_over(const ex_cuda_host *host, const char *name, uint64_t start, uint64_t end)
{
    ex_profile_row row = {.name = name};
    if (end < start || end == 0) {
        host->profile_lost(1);
        return;
    }
    ex_profile_count(&row, 1e-9 * (double)(end - start));
    host->profile_add(&row);
}

static void read_kernel(const ex_cuda_host *host, const CUpti_ActivityKernel9 *k)
{
    const char *name = k->name ? k->name : "a kernel without a name";
    char *plain = __cxa_demangle ? __cxa_demangle(name, NULL, NULL, NULL) : NULL;
    hand_over(host, plain ? plain : name, k->start, k->end);
    free(plain);
}

void ex_cupti_read(const ex_cuda_host *host, const ex_cupti_records *api, unsigned char *buffer,
                   size_t bytes)
{
    char name[48];
    void *at = NULL;
    while (api->next(buffer, bytes, &at) == CUPTI_SUCCESS) {
        const CUpti_Activity *record = at;
        if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL ||
            record->kind == CUPTI_ACTIVITY_KIND_KERNEL) {
            read_kernel(host, at);
        } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
            const CUpti_ActivityMemcpy5 *copy = at;
            snprintf(name, sizeof name, "[CUDA memcpy %s]", direction(copy->copyKind));
            hand_over(host, name, copy->start, copy->end);
        } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
            const CUpti_ActivityMemset4 *fill = at;
            hand_over(host, "[CUDA memset]", fill->start, fill->end);
        }
    }
}
