/* A GPU as a device, and the back end's table. */
#include "base/memory.h"
#include "cuda/cuda_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* LANES, IMAGES and STEPS_A_RUN are guesses until a GPU is measured. Each lane makes the library's
 * plans anew, so that more lanes than are needed cost more than memory. */
enum { COMPUTE_MIN = 80, LANES = 8, IMAGES = 1024, STEPS_A_RUN = 512 };

/* The number of devices, or why there are none. */
static ex_status count_devices(int *count)
{
    int driver = 0, runtime = 0;
    *count = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
        (void)cudaGetLastError();
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "no NVIDIA driver answers; install one, or use --device cpu");
    }
    const cudaError_t error = cudaGetDeviceCount(count);
    if (error == cudaSuccess && *count > 0)
        return EX_OK;
    (void)cudaGetLastError();
    if (error == cudaSuccess || error == cudaErrorNoDevice)
        return EX_FAIL(EX_ERR_UNSUPPORTED, "the NVIDIA driver sees no GPU; is CUDA_VISIBLE_DEVICES "
                                           "empty? Use --device cpu without one");
    (void)cudaRuntimeGetVersion(&runtime);
    return EX_FAIL(EX_ERR_UNSUPPORTED,
                   "GPUs cannot be used: %s (driver for CUDA %d.%d, built with CUDA %d.%d)",
                   cudaGetErrorString(error), driver / 1000, driver % 1000 / 10, runtime / 1000,
                   runtime % 1000 / 10);
}

static ex_status probe(void)
{
    int count;
    ex_cuda_phase("looking for GPUs");
    return count_devices(&count);
}

/* N of "cuda:N"; 0 of anything without a colon. */
static ex_status index_of(const char *device, int *index)
{
    const char *colon = device ? strchr(device, ':') : NULL;
    char *end;
    *index = 0;
    if (!colon)
        return EX_OK;
    const long n = strtol(colon + 1, &end, 10);
    if (colon[1] < '0' || colon[1] > '9' || *end || n > 1 << 16)
        return EX_FAIL(EX_ERR_CONFIG, "device is \"%s\"; one of auto, cpu, cuda, cuda:N", device);
    *index = (int)n;
    return EX_OK;
}

static ex_status attribute(int *value, enum cudaDeviceAttr what, int index)
{
    return EX_CUDA(cudaDeviceGetAttribute(value, what, index));
}

static ex_status describe(ex_cuda_device *d)
{
    struct cudaDeviceProp properties;
    char library[48];
    int major, minor, driver = 0, runtime = 0;
    EX_TRY(EX_CUDA(cudaGetDeviceProperties(&properties, d->index)));
    EX_TRY(attribute(&major, cudaDevAttrComputeCapabilityMajor, d->index));
    EX_TRY(attribute(&minor, cudaDevAttrComputeCapabilityMinor, d->index));
    EX_TRY(EX_CUDA(cudaDriverGetVersion(&driver)));
    EX_TRY(EX_CUDA(cudaRuntimeGetVersion(&runtime)));
    if (10 * major + minor < COMPUTE_MIN)
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "cuda:%d is a %s of compute capability %d.%d; 8.0 or later is needed",
                       d->index, properties.name, major, minor);
    ex_dnn_library(library, sizeof library);
    snprintf(d->base.name, sizeof d->base.name, "cuda:%d", d->index);
    snprintf(d->base.description, sizeof d->base.description,
             "%.64s, sm_%d%d, CUDA %d.%d, driver for %d.%d, %s", properties.name, major, minor,
             runtime / 1000, runtime % 1000 / 10, driver / 1000, driver % 1000 / 10, library);
    d->base.lanes_default = LANES;
    d->base.images_at_once = IMAGES;
    d->base.steps_a_run = STEPS_A_RUN;
    return EX_OK;
}

static void device_close(ex_device **device)
{
    if (!*device)
        return;
    ex_cuda_device *d = (ex_cuda_device *)*device;
    (void)cudaSetDevice(d->index);
    ex_cuda_resident_free(d);
    ex_cuda_choices_free(d);
    ex_budget_close(&d->budget);
    pthread_mutex_destroy(&d->lock);
    pthread_mutex_destroy(&d->choosing);
    ex_free(&d);
    *device = NULL;
}

static ex_status device_open(ex_device **out, const ex_device_options *options)
{
    ex_cuda_device *d;
    int index, count;
    *out = NULL;
    ex_cuda_phase("opening the device");
    EX_TRY(index_of(options->device, &index));
    EX_TRY(count_devices(&count));
    if (index >= count)
        return EX_FAIL(EX_ERR_UNSUPPORTED, "there is no cuda:%d, only cuda:0 to cuda:%d", index,
                       count - 1);
    EX_TRY(ex_alloc(&d, 1, sizeof *d, "device"));
    d->base.backend = &ex_backend_cuda;
    d->base.options = *options;
    d->index = index;
    ex_budget_init(&d->budget, &d->base);
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->choosing, NULL);
    *out = &d->base;
    ex_status status = EX_CUDA(cudaSetDevice(index));
    if (status == EX_OK)
        status = describe(d);
    if (status != EX_OK)
        device_close(out);
    return status;
}

static ex_status memory_left(ex_device *device, size_t *bytes)
{
    ex_cuda_device *d = (ex_cuda_device *)device;
    size_t total;
    ex_cuda_phase("asking for memory");
    EX_TRY(EX_CUDA(cudaSetDevice(d->index)));
    EX_TRY(EX_CUDA(cudaMemGetInfo(bytes, &total)));
    const size_t allowed = ex_budget_left(&d->budget);
    *bytes = *bytes < allowed ? *bytes : allowed;
    return EX_OK;
}

const ex_backend ex_backend_cuda = {
    .name = "cuda",
    .probe = probe,
    .device_open = device_open,
    .device_close = device_close,
    .algorithms_read = ex_cuda_algorithms_read,
    .algorithms_write = ex_cuda_algorithms_write,
    .memory_left = memory_left,
    .lane_create = ex_cuda_lane_create,
    .lane_destroy = ex_cuda_lane_destroy,
    .lane_load = ex_cuda_lane_load,
    .lane_store = ex_cuda_lane_store,
    .lane_load_velocity = ex_cuda_lane_load_velocity,
    .lane_store_velocity = ex_cuda_lane_store_velocity,
    .plan_create = ex_cuda_plan_create,
    .plan_destroy = ex_cuda_plan_destroy,
    .plan_reserve = ex_cuda_reserve,
    .plan_train = ex_cuda_train,
    .plan_gradient = ex_cuda_gradient,
    .plan_evaluate = ex_cuda_evaluate,
    .plan_load = ex_cuda_load,
    .plan_forward = ex_cuda_forward,
    .plan_fork = ex_cuda_fork,
    .plan_logits = ex_cuda_logits,
};
