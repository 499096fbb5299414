/* The NVIDIA driver, asked without the CUDA toolkit: libcuda.so.1 is loaded when somebody asks, so
 * that a machine without one can build and run everything else. */
#ifndef EX_CUDA_DRIVER_H
#define EX_CUDA_DRIVER_H

#include "base/status.h"

typedef struct ex_gpu {
    char name[96];
    size_t memory;    /* bytes in all */
    int major, minor; /* compute capability */
} ex_gpu;

/* *gpus = how many GPUs the driver shows to this process, at least 1. EX_ERR_UNSUPPORTED with the
 * reason if there is no driver, it does not work, or it shows none. */
ex_status ex_cuda_driver_count(int *gpus);
/* The GPU that "cuda:index" names; after ex_cuda_driver_count gave EX_OK. */
ex_status ex_cuda_driver_gpu(ex_gpu *out, int index);
/* "580.65.06, for CUDA 13.0"; "" without a driver. */
void ex_cuda_driver_version(char *text, size_t room);

#endif
