/* Whether kernels can be given the tests' own memory. */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>

int ex_test_gpu_reads_host(void);

int ex_test_gpu_reads_host(void)
{
    int reads = 0;
    if (!getenv("CUDA_LAUNCH_BLOCKING"))
        fprintf(stderr, "skipped: set CUDA_LAUNCH_BLOCKING=1, so that launches are waited for\n");
    else if (cudaDeviceGetAttribute(&reads, cudaDevAttrPageableMemoryAccess, 0) != cudaSuccess ||
             !reads)
        fprintf(stderr, "skipped: this GPU, or its driver, does not read the host's memory\n");
    else
        return 1;
    return 0;
}
