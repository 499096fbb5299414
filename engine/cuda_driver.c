#include "cuda_driver.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the driver's API, by its ABI: CUresult and CUdevice are int, CUdevice_attribute an enum. */
enum { COMPUTE_MAJOR = 75, COMPUTE_MINOR = 76 };

typedef struct driver {
    int (*init)(unsigned flags);
    int (*version)(int *out);
    int (*count)(int *out);
    int (*get)(int *device, int index);
    int (*name)(char *out, int room, int device);
    int (*memory)(size_t *bytes, int device);
    int (*attribute)(int *out, int attribute, int device);
    int (*error_name)(int code, const char **text);
    int (*error_text)(int code, const char **text);
} driver;

static bool find(void *library, const char *symbol, void *function)
{
    void *found = dlsym(library, symbol);
    memcpy(function, &found, sizeof found); /* a cast would not be C */
    return found != NULL;
}

/* The library stays loaded: the CUDA runtime uses it too. */
static ex_status load(driver *d)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "there is no NVIDIA driver (%s); install one, or use --device cpu",
                       dlerror());
    if (find(library, "cuInit", &d->init) && find(library, "cuDriverGetVersion", &d->version) &&
        find(library, "cuDeviceGetCount", &d->count) && find(library, "cuDeviceGet", &d->get) &&
        find(library, "cuDeviceGetName", &d->name) &&
        find(library, "cuDeviceTotalMem_v2", &d->memory) &&
        find(library, "cuDeviceGetAttribute", &d->attribute) &&
        find(library, "cuGetErrorName", &d->error_name) &&
        find(library, "cuGetErrorString", &d->error_text))
        return EX_OK;
    return EX_FAIL(EX_ERR_UNSUPPORTED,
                   "libcuda.so.1 is no NVIDIA driver that excise knows (%s); "
                   "update the driver, or use --device cpu",
                   dlerror());
}

static ex_status check(const driver *d, int code, const char *call)
{
    const char *name = NULL, *text = NULL;
    if (code == 0)
        return EX_OK;
    d->error_name(code, &name);
    d->error_text(code, &text);
    return EX_FAIL(EX_ERR_UNSUPPORTED,
                   "the NVIDIA driver answers %s to %s (%s); see what nvidia-smi and "
                   "CUDA_VISIBLE_DEVICES say, or use --device cpu",
                   name ? name : "an unknown error", call, text ? text : "no text");
}

/* Of the hardware's queues, which streams share: the driver makes 8 unless told, so that lanes
 * beyond them would wait for each other. It reads the variable as it starts. */
static void ask_for_connections(void)
{
    (void)setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", false);
}

ex_status ex_cuda_driver_count(int *gpus)
{
    driver d;
    *gpus = 0;
    EX_TRY(load(&d));
    ask_for_connections();
    EX_TRY(check(&d, d.init(0), "cuInit"));
    EX_TRY(check(&d, d.count(gpus), "cuDeviceGetCount"));
    if (*gpus < 1)
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "the NVIDIA driver shows no GPU; see what nvidia-smi and "
                       "CUDA_VISIBLE_DEVICES say, or use --device cpu");
    return EX_OK;
}

ex_status ex_cuda_driver_gpu(ex_gpu *out, int index)
{
    driver d;
    int device;
    *out = (ex_gpu){0};
    EX_TRY(load(&d));
    EX_TRY(check(&d, d.get(&device, index), "cuDeviceGet"));
    EX_TRY(check(&d, d.name(out->name, sizeof out->name, device), "cuDeviceGetName"));
    EX_TRY(check(&d, d.memory(&out->memory, device), "cuDeviceTotalMem"));
    EX_TRY(check(&d, d.attribute(&out->major, COMPUTE_MAJOR, device), "cuDeviceGetAttribute"));
    return check(&d, d.attribute(&out->minor, COMPUTE_MINOR, device), "cuDeviceGetAttribute");
}

/* The version that nvidia-smi shows: the word after "Module" in the first line of that file. */
static void release(char *text, size_t room)
{
    char line[256] = "";
    FILE *f = fopen("/proc/driver/nvidia/version", "r");
    *text = '\0';
    if (!f)
        return;
    const char *word = fgets(line, sizeof line, f) ? strstr(line, "Module") : NULL;
    fclose(f);
    if (!word)
        return;
    word += strcspn(word, " ");
    word += strspn(word, " ");
    if (strncmp(word, "for", 3) == 0) /* "Open Kernel Module for x86_64  580.65.06" */
        word = strstr(word, "  ");
    if (word) {
        word += strspn(word, " ");
        snprintf(text, room, "%.*s", (int)strcspn(word, " \n"), word);
    }
}

void ex_cuda_driver_version(char *text, size_t room)
{
    driver d;
    int version = 0;
    *text = '\0';
    if (load(&d) != EX_OK || d.version(&version) != 0)
        return;
    release(text, room);
    ex_append(text, room, "%sfor CUDA %d.%d", *text ? ", " : "", version / 1000,
              version % 1000 / 10);
}
