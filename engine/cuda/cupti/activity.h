/* The profile of what ran on GPUs, through CUPTI's activity records. Loaded when somebody profiles:
 * a process has one subscriber to CUPTI, and it costs time. */
#ifndef EX_CUDA_ACTIVITY_H
#define EX_CUDA_ACTIVITY_H

#include "cuda_host.h"

/* Records kernels, copies and fills from here on; `host` takes them. EX_ERR_UNSUPPORTED with the
 * reason if CUPTI is missing, not permitted, or another profiler holds it. */
ex_status ex_cupti_begin(const ex_cuda_host *host);
/* Hands over what is still waiting, and stops. */
ex_status ex_cupti_end(void);

/* What is used of CUPTI, as loaded. */
typedef struct ex_cupti_records {
    /* cuptiActivityGetNextRecord */
    int (*next)(unsigned char *buffer, size_t bytes, void **record);
} ex_cupti_records;

/* Hands over each record of a buffer that CUPTI filled. */
void ex_cupti_read(const ex_cuda_host *host, const ex_cupti_records *api, unsigned char *buffer,
                   size_t bytes);

#endif
