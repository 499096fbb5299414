/* libcuda.so.1 as far as excise asks it. STAND_IN_GPUS: how many GPUs it shows (1); STAND_IN_INIT:
 * what cuInit answers (0); STAND_IN_CONNECTIONS: a file that cuInit writes
 * CUDA_DEVICE_MAX_CONNECTIONS to. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum { NO_DEVICE = 100, INVALID_DEVICE = 101 };

int cuInit(unsigned flags);
int cuDriverGetVersion(int *out);
int cuDeviceGetCount(int *out);
int cuDeviceGet(int *device, int index);
int cuDeviceGetName(char *out, int room, int device);
int cuDeviceTotalMem_v2(size_t *bytes, int device);
int cuDeviceGetAttribute(int *out, int attribute, int device);
int cuGetErrorName(int code, const char **text);
int cuGetErrorString(int code, const char **text);

static int setting(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

int cuInit(unsigned flags)
{
    const char *connections = getenv("CUDA_DEVICE_MAX_CONNECTIONS");
    FILE *file = getenv("STAND_IN_CONNECTIONS") ? fopen(getenv("STAND_IN_CONNECTIONS"), "w") : NULL;
    (void)flags;
    if (file) {
        fprintf(file, "%s\n", connections ? connections : "unset");
        fclose(file);
    }
    return setting("STAND_IN_INIT", 0);
}

int cuDriverGetVersion(int *out)
{
    *out = 13000;
    return 0;
}

int cuDeviceGetCount(int *out)
{
    *out = setting("STAND_IN_GPUS", 1);
    return 0;
}

int cuDeviceGet(int *device, int index)
{
    *device = 7 + index; /* a handle, no index */
    return index < setting("STAND_IN_GPUS", 1) ? 0 : INVALID_DEVICE;
}

int cuDeviceGetName(char *out, int room, int device)
{
    snprintf(out, (size_t)room, "Stand-in %d", device - 7);
    return 0;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device)
{
    *bytes = (size_t)80000000000 + (size_t)device - 7;
    return 0;
}

int cuDeviceGetAttribute(int *out, int attribute, int device)
{
    (void)device;
    *out = attribute == 75 ? 9 : attribute == 76 ? 0 : -1;
    return 0;
}

int cuGetErrorName(int code, const char **text)
{
    *text = code == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE" : NULL;
    return code == NO_DEVICE ? 0 : 1;
}

int cuGetErrorString(int code, const char **text)
{
    *text = code == NO_DEVICE ? "no CUDA-capable device is detected" : NULL;
    return code == NO_DEVICE ? 0 : 1;
}
