/* The CPU as a device, and the back end's table. */
#include "base/log.h"
#include "base/memory.h"
#include "cpu/cpu_impl.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* IMAGES: at most, whatever the cache. An ablation of resnet20 took the same processor time,
 * within 10 %, for batches of 8, 16, 32, 64 and 128 images (one lane, two runs of each by turns, on
 * a busy machine), vgg11 less for 128 than for 1024 (seen once). */
enum { STEPS_A_RUN = 4, IMAGES = 128 };

static ex_status probe(void)
{
    return EX_OK;
}

/* Bytes of cpu0's cache by the C library's name and by the kernel's; 0 where neither tells. */
static size_t cache_bytes(int name, const char *index)
{
    char path[80];
    long bytes = name >= 0 ? sysconf(name) : 0;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/%s/size", index);
    FILE *f = bytes > 0 ? NULL : fopen(path, "r");
    if (f) {
        if (fscanf(f, "%ldK", &bytes) == 1)
            bytes *= 1024;
        fclose(f);
    }
    return bytes > 0 ? (size_t)bytes : 0;
}

/* What a lane has for itself: its core's second level, or its share of the third where that is
 * more; CACHE where the system does not tell. */
static size_t cache_of_a_lane(int lanes)
{
    enum { CACHE = 1 << 21 };
#ifdef _SC_LEVEL3_CACHE_SIZE
    enum { LEVEL2 = _SC_LEVEL2_CACHE_SIZE, LEVEL3 = _SC_LEVEL3_CACHE_SIZE };
#else
    enum { LEVEL2 = -1, LEVEL3 = -1 };
#endif
    const size_t own = cache_bytes(LEVEL2, "index2");
    const size_t share = cache_bytes(LEVEL3, "index3") / (size_t)lanes;
    const size_t most = own > share ? own : share;
    return most > 0 ? most : CACHE;
}

/* "model name" of the first processor; other systems than Linux get the word alone. */
static void processor_name(char *name, size_t size)
{
    char line[256];
    snprintf(name, size, "processor");
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f)) {
        const char *value = strstr(line, ": ");
        if (strncmp(line, "model name", 10) == 0 && value) {
            snprintf(name, size, "%s", value + 2);
            name[strcspn(name, "\n")] = '\0';
            break;
        }
    }
    if (f)
        fclose(f);
}

/* oneDNN emulates bf16 products where AVX-512 has none of its own, and has nothing below it. */
static ex_status check_precision(const ex_cpu_device *d)
{
    const ex_precision precision = d->base.options.precision;
    if (precision == EX_TF32)
        return EX_FAIL(EX_ERR_UNSUPPORTED, "tf32 is for GPUs; on the CPU use --precision fp32");
    if (precision == EX_BF16 && !ex_dnn_has_bf16(d->engine))
        return EX_FAIL(
            EX_ERR_UNSUPPORTED,
            "bf16 needs a processor with AVX-512, and for speed its BF16 instructions or "
            "AMX; this one has %s: use --precision fp32",
            ex_dnn_isa());
    if (precision == EX_BF16 && !ex_dnn_is_bf16_native())
        ex_log("this processor has no bf16 instructions (%s): they are emulated, and slower than "
               "fp32",
               ex_dnn_isa());
    return EX_OK;
}

static void device_close(ex_device **device)
{
    if (!*device)
        return;
    ex_cpu_device *d = (ex_cpu_device *)*device;
    if (d->engine)
        dnnl_engine_destroy(d->engine);
    ex_algorithms_cache_close(&d->cache, &d->base);
    pthread_mutex_destroy(&d->timing);
    ex_budget_close(&d->budget);
    ex_free(&d->choices);
    ex_free(&d);
    *device = NULL;
}

static ex_status device_open(ex_device **out, const ex_device_options *options)
{
    char processor[96], version[32];
    ex_cpu_device *d;
    *out = NULL;
    EX_TRY(ex_alloc(&d, 1, sizeof *d, "device"));
    d->base.backend = &ex_backend_cpu;
    d->base.options = *options;
    pthread_mutex_init(&d->timing, NULL);
    ex_budget_init(&d->budget, &d->base);
    *out = &d->base;
    ex_status status = EX_DNN(dnnl_engine_create(&d->engine, dnnl_cpu, 0));
    if (status == EX_OK)
        status = check_precision(d);
    if (status != EX_OK) {
        device_close(out);
        return status;
    }
    processor_name(processor, sizeof processor);
    ex_dnn_version(version, sizeof version);
    snprintf(d->base.name, sizeof d->base.name, "cpu");
    snprintf(d->base.description, sizeof d->base.description, "%s, %s, %s", processor, ex_dnn_isa(),
             version);
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    d->base.lanes_default = cores > 0 ? (int)cores : 1;
    d->base.images_at_once = IMAGES;
    d->base.cache = cache_of_a_lane(d->base.lanes_default);
    d->base.steps_a_run = STEPS_A_RUN;
    return EX_OK;
}

const ex_backend ex_backend_cpu = {
    .name = "cpu",
    .probe = probe,
    .device_open = device_open,
    .device_close = device_close,
    .algorithms_read = ex_cpu_algorithms_read,
    .algorithms_write = ex_cpu_algorithms_write,
    .lane_create = ex_cpu_lane_create,
    .lane_destroy = ex_cpu_lane_destroy,
    .lane_load = ex_cpu_lane_load,
    .lane_store = ex_cpu_lane_store,
    .lane_load_velocity = ex_cpu_lane_load_velocity,
    .lane_store_velocity = ex_cpu_lane_store_velocity,
    .plan_create = ex_cpu_plan_create,
    .plan_destroy = ex_cpu_plan_destroy,
    .plan_train = ex_cpu_train,
    .plan_gradient = ex_cpu_gradient,
    .plan_evaluate = ex_cpu_evaluate,
    .plan_load = ex_cpu_load,
    .plan_forward = ex_cpu_forward,
    .plan_fork = ex_cpu_fork,
    .plan_logits = ex_cpu_logits,
};
