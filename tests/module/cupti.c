/* libcupti as far as excise uses it: hands out one buffer of made-up records when it is flushed.
 * STAND_IN_CUPTI: what enabling answers (0). */
#include <cupti.h>
#include <stdlib.h>
#include <string.h>

enum { SLOT = 512 }; /* bytes that a record takes in the buffer */

static CUpti_BuffersCallbackRequestFunc request;
static CUpti_BuffersCallbackCompleteFunc complete;
static int enabled;

CUptiResult cuptiActivityRegisterCallbacks(CUpti_BuffersCallbackRequestFunc ask,
                                           CUpti_BuffersCallbackCompleteFunc done)
{
    request = ask;
    complete = done;
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityEnable(CUpti_ActivityKind kind)
{
    const char *answer = getenv("STAND_IN_CUPTI");
    enabled += kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL ||
               kind == CUPTI_ACTIVITY_KIND_MEMCPY || kind == CUPTI_ACTIVITY_KIND_MEMSET;
    return answer ? (CUptiResult)atoi(answer) : CUPTI_SUCCESS;
}

CUptiResult cuptiActivityDisable(CUpti_ActivityKind kind)
{
    (void)kind;
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityGetNextRecord(uint8_t *buffer, size_t bytes, CUpti_Activity **record)
{
    uint8_t *next = *record ? (uint8_t *)*record + SLOT : buffer;
    if (next + SLOT > buffer + bytes)
        return CUPTI_ERROR_MAX_LIMIT_REACHED;
    *record = (CUpti_Activity *)(void *)next;
    return CUPTI_SUCCESS;
}

CUptiResult cuptiActivityGetNumDroppedRecords(CUcontext context, uint32_t stream, size_t *dropped)
{
    (void)context, (void)stream;
    *dropped = 5;
    return CUPTI_SUCCESS;
}

CUptiResult cuptiGetResultString(CUptiResult code, const char **text)
{
    *text =
        code == CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED ? "MULTIPLE_SUBSCRIBERS" : "ERROR";
    return CUPTI_SUCCESS;
}

static uint8_t *add_kernel(uint8_t *at, const char *name, uint64_t start, uint64_t end)
{
#if CUDA_VERSION >= 13000
    CUpti_ActivityKernel10 *k = (void *)at; /* as this version of CUPTI has it */
#else
    CUpti_ActivityKernel9 *k = (void *)at;
#endif
    k->kind = CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
    k->name = name;
    k->start = start;
    k->end = end;
    return at + SLOT;
}

static uint8_t *add_copy(uint8_t *at, CUpti_ActivityMemcpyKind direction, uint64_t end)
{
#if CUDA_VERSION >= 13000
    CUpti_ActivityMemcpy6 *c = (void *)at;
#else
    CUpti_ActivityMemcpy5 *c = (void *)at;
#endif
    c->kind = CUPTI_ACTIVITY_KIND_MEMCPY;
    c->copyKind = (uint8_t)direction;
    c->start = 1000;
    c->end = end;
    return at + SLOT;
}

CUptiResult cuptiActivityFlushAll(uint32_t flag)
{
    uint8_t *buffer = NULL;
    size_t bytes = 0, most = 7;
    if (flag != CUPTI_ACTIVITY_FLAG_FLUSH_FORCED || enabled != 3)
        return CUPTI_ERROR_UNKNOWN;
    request(&buffer, &bytes, &most);
    if (bytes < 16 * SLOT || most != 0 || (size_t)buffer % 8 != 0)
        return CUPTI_ERROR_INVALID_PARAMETER;
    memset(buffer, 0, 16 * SLOT);
    uint8_t *at = buffer;
    at = add_kernel(at, "_Z10sgd_kernelPfi", 10000, 13000);
    at = add_kernel(at, "_Z10sgd_kernelPfi", 20000, 21000);
    at = add_kernel(at, "plain_kernel", 30000, 38000);
    at = add_kernel(at, "untold", 0, 0);
    at = add_copy(at, CUPTI_ACTIVITY_MEMCPY_KIND_HTOD, 3000);
    at = add_copy(at, CUPTI_ACTIVITY_MEMCPY_KIND_DTOH, 2500);
    CUpti_ActivityMemset4 *fill = (void *)at;
    fill->kind = CUPTI_ACTIVITY_KIND_MEMSET;
    fill->end = 500;
    at += SLOT;
    ((CUpti_Activity *)(void *)at)->kind = CUPTI_ACTIVITY_KIND_OVERHEAD; /* nothing to us */
    at += SLOT;
    complete(NULL, 0, buffer, bytes, (size_t)(at - buffer));
    return CUPTI_SUCCESS;
}
