/* The table of back ends, and the calls of devices and lanes that go through it; plans': plan.c. */
#include "backend.h"

#include "base/log.h"
#include "cuda_driver.h"
#include "cuda_module.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef EXCISE_HAVE_ONEDNN
extern const ex_backend ex_backend_cpu;
#endif

static ex_status find_cpu(const ex_backend **out)
{
#ifdef EXCISE_HAVE_ONEDNN
    *out = &ex_backend_cpu;
    return EX_OK;
#else
    *out = NULL;
    return EX_FAIL(EX_ERR_UNSUPPORTED, "this build has no CPU back end; install oneDNN "
                                       "(libdnnl-dev) and build with -DEXCISE_ONEDNN=ON");
#endif
}

/* Best first. `find` gives the back end, or EX_ERR_UNSUPPORTED with the reason. */
static const struct {
    const char *name;
    bool numbered; /* "name:N" is one of several devices */
    ex_status (*find)(const ex_backend **out);
    ex_status (*prepare)(void); /* before a device is opened; may be NULL */
} backends[] = {{"cuda", true, ex_cuda_module, ex_cuda_module_profile},
                {"cpu", false, find_cpu, NULL}};

enum { BACKENDS = sizeof backends / sizeof *backends };

/* --- devices ---------------------------------------------------------------------------------- */

/* "cuda" and "cuda:1" name the back end "cuda"; "cuda:x" and "cpu:0" name none, on any machine. */
static bool names(const char *device, int i)
{
    enum { DIGITS = 5 };
    const size_t length = strlen(backends[i].name);
    if (strncmp(device, backends[i].name, length) != 0)
        return false;
    const char *rest = device + length;
    if (!*rest || *rest != ':' || !backends[i].numbered)
        return !*rest;
    const size_t digits = strspn(rest + 1, "0123456789");
    return digits > 0 && digits <= DIGITS && !rest[1 + digits];
}

static ex_status find(const ex_backend **out, int i)
{
    EX_TRY(backends[i].find(out));
    return (*out)->probe();
}

static ex_status open_on(ex_device **out, const ex_backend *backend, int i,
                         const ex_device_options *options)
{
    if (backends[i].prepare)
        EX_TRY(backends[i].prepare());
    return backend->device_open(out, options);
}

/* A machine without a GPU is nothing to talk about; a GPU that is there and not used is. */
static void tell_unused_gpu(const char *reason)
{
    int gpus;
    if (ex_cuda_driver_count(&gpus) == EX_OK)
        ex_log_warn("the GPU is not used: %s", reason);
}

/* A device that is there may still not be usable, such as a GPU that is too old: then it is as if
 * it were not there. The last one's answer is the caller's. */
static ex_status open_best(ex_device **out, const ex_device_options *options)
{
    char reasons[1024] = "", reason[512];
    for (int i = 0; i < BACKENDS; i++) {
        const ex_backend *backend;
        if (find(&backend, i) == EX_OK) {
            if (i > 0)
                tell_unused_gpu(reason);
            if (backends[i].prepare)
                EX_TRY(backends[i].prepare());
            const ex_status status = backend->device_open(out, options);
            if (status != EX_ERR_UNSUPPORTED || i == BACKENDS - 1)
                return status;
        }
        snprintf(reason, sizeof reason, "%s", ex_error_message());
        ex_append(reasons, sizeof reasons, "%s%s: %s", i ? "; " : "", backends[i].name, reason);
    }
    return EX_FAIL(EX_ERR_UNSUPPORTED, "no device can be used here. %s", reasons);
}

ex_status ex_device_open(ex_device **out, const ex_device_options *options)
{
    const char *device = options->device ? options->device : "auto";
    const ex_backend *backend;
    *out = NULL;
    if (strcmp(device, "auto") == 0)
        return open_best(out, options);
    for (int i = 0; i < BACKENDS; i++) {
        if (!names(device, i))
            continue;
        EX_TRY(find(&backend, i));
        return open_on(out, backend, i, options);
    }
    return EX_FAIL(EX_ERR_CONFIG, "device is \"%s\"; one of auto, cpu, cuda, cuda:N", device);
}

void ex_device_close(ex_device **device)
{
    if (*device)
        (*device)->backend->device_close(device);
}

ex_status ex_device_read_algorithms(ex_device *device, const char *path)
{
    return device->backend->algorithms_read(device, path);
}

ex_status ex_device_write_algorithms(const ex_device *device, const char *path)
{
    return device->backend->algorithms_write(device, path);
}

bool ex_device_has_memory(const ex_device *device)
{
    return device->backend->memory_left;
}

ex_status ex_device_memory_left(ex_device *device, size_t *bytes)
{
    *bytes = SIZE_MAX;
    return device->backend->memory_left ? device->backend->memory_left(device, bytes) : EX_OK;
}

/* --- lanes ------------------------------------------------------------------------------------ */

ex_status ex_lane_create(ex_lane **out, ex_device *device, const ex_model *model, int threads)
{
    *out = NULL;
    EX_CHECK_ARG(threads >= 1, "a lane needs at least one thread, not %d", threads);
    return device->backend->lane_create(out, device, model, threads);
}

void ex_lane_destroy(ex_lane **lane)
{
    if (*lane)
        (*lane)->device->backend->lane_destroy(lane);
}

ex_status ex_lane_load(ex_lane *lane, const float *params, const float *stats)
{
    return lane->device->backend->lane_load(lane, params, stats);
}

ex_status ex_lane_store(ex_lane *lane, float *params, float *stats)
{
    return lane->device->backend->lane_store(lane, params, stats);
}

ex_status ex_lane_load_velocity(ex_lane *lane, const float *velocity)
{
    return lane->device->backend->lane_load_velocity(lane, velocity);
}

ex_status ex_lane_store_velocity(ex_lane *lane, float *velocity)
{
    return lane->device->backend->lane_store_velocity(lane, velocity);
}
