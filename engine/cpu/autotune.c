/* Choosing the algorithm of each convolution, by time.
 *
 * oneDNN's own `auto` takes neither Winograd nor the kernels for NHWC. Each shape and pass is timed
 * once per device, unless a run before on this machine did (algorithms_cache.h); the lock makes
 * concurrent lanes wait for the first one's choice, since lanes that chose for themselves would
 * differ in bits. */
#include "algorithms_file.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "cpu/cpu_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RUNS_MIN = 3,
    RUNS_MAX = 12,
    ARGS_MAX = 5,
    CACHE_LINE = 64,
    FIRST_ROOM = 64,
};

/* Seconds of runs after which no more are made. */
static const double ENOUGH = 0.01;
/* A first run so many times slower than the best will not win when warm. */
static const double HOPELESS = 2.0;
/* Winograd is less accurate (a few units of 1e-6 against 1e-7): it has to be worth it. */
static const double WINOGRAD_MARGIN = 0.93;

static const char *const names[EX_DNN_ALGORITHMS] = {[EX_DNN_DIRECT] = "direct",
                                                     [EX_DNN_PIXELS] = "pixels",
                                                     [EX_DNN_WINOGRAD] = "winograd",
                                                     [EX_DNN_TILES] = "tiles"};

static void key_of(char *key, size_t size, const ex_dnn_conv *c, int threads)
{
    const ex_dnn_window *w = &c->window;
    static const char *const passes[] = {"train", "eval", "data", "weights"};
    snprintf(key, size, "%s n%d c%d h%d w%d k%d r%d s%d stride%d pad%d%s%s%s%s%s threads%d",
             passes[c->pass], c->N, c->C, w->H, w->W, c->K, w->R, w->S, w->stride, w->pad,
             c->bias ? " bias" : "", c->sum ? " sum" : "", c->relu ? " relu" : "",
             c->bf16 ? " bf16" : "", c->bf16 && c->wide ? " wide" : "", threads);
}

static const ex_cpu_choice *find(const ex_cpu_device *device, const char *key)
{
    for (int i = 0; i < device->choice_count; i++)
        if (strcmp(device->choices[i].key, key) == 0)
            return &device->choices[i];
    return NULL;
}

static ex_status remember(ex_cpu_device *device, const char *key, ex_dnn_algorithm algorithm)
{
    EX_TRY(ex_grow(&device->choices, device->choice_count, &device->choice_room, FIRST_ROOM,
                   sizeof *device->choices, "algorithms"));
    ex_cpu_choice *choice = &device->choices[device->choice_count++];
    snprintf(choice->key, sizeof choice->key, "%s", key);
    choice->algorithm = algorithm;
    return EX_OK;
}

/* --- timing ----------------------------------------------------------------------------------- */

typedef struct trial {
    ex_dnn_op op;
    dnnl_exec_arg_t args[ARGS_MAX];
    size_t offset[ARGS_MAX]; /* in the lane's arena */
    size_t bytes;
    int count;
    const ex_dnn_conv *tiles; /* what kernels of our own compute; or NULL, and op does */
} trial;

static size_t whole_lines(size_t bytes)
{
    return (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

static ex_status trial_arg(trial *t, dnnl_engine_t engine, int arg)
{
    const size_t bytes = ex_dnn_op_bytes(&t->op, arg);
    if (!bytes)
        return EX_OK;
    const int i = t->count++;
    t->args[i].arg = arg;
    t->offset[i] = t->bytes;
    t->bytes += whole_lines(bytes);
    return ex_dnn_op_memory(&t->args[i].memory, &t->op, arg, engine);
}

/* Of kernels of our own. */
static void trial_tiles(trial *t, const ex_dnn_conv *c)
{
    size_t floats[EX_CPU_TILES_TENSORS];
    ex_cpu_tiles_trial_floats(floats, c);
    for (int i = 0; i < EX_CPU_TILES_TENSORS; i++) {
        t->offset[t->count++] = t->bytes;
        t->bytes += whole_lines(floats[i] * sizeof(float));
    }
    t->tiles = c;
}

/* Nothing else lies in the arena while a plan is made. */
static ex_status trial_bind(trial *t, ex_cpu_lane *lane)
{
    EX_TRY(ex_lane_borrow(&lane->core, t->bytes));
    float *values = (float *)(void *)lane->core.arena;
    for (size_t i = 0; i < t->bytes / sizeof *values; i++)
        values[i] = (float)(i % 7) * 0.125f - 0.375f;
    for (int i = 0; i < t->count; i++)
        if (t->args[i].memory)
            EX_TRY(EX_DNN(
                dnnl_memory_set_data_handle(t->args[i].memory, lane->core.arena + t->offset[i])));
    return EX_OK;
}

static void trial_end(trial *t)
{
    for (int i = 0; i < t->count; i++)
        if (t->args[i].memory)
            dnnl_memory_destroy(t->args[i].memory);
    ex_dnn_op_destroy(&t->op);
}

static ex_status trial_begin(trial *t, ex_cpu_lane *lane, const ex_dnn_conv *c)
{
    static const int args[4][ARGS_MAX] = {
        [EX_DNN_FORWARD_TRAIN] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST,
                                  DNNL_ARG_SCRATCHPAD},
        [EX_DNN_FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST,
                            DNNL_ARG_SCRATCHPAD},
        [EX_DNN_BACKWARD_DATA] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST,
                                  DNNL_ARG_SCRATCHPAD},
        [EX_DNN_BACKWARD_WEIGHTS] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS,
                                     DNNL_ARG_DIFF_DST, DNNL_ARG_SCRATCHPAD},
    };
    const dnnl_engine_t engine = ex_cpu_device_of(&lane->core)->engine;
    if (c->algorithm == EX_DNN_TILES) {
        trial_tiles(t, c);
        return trial_bind(t, lane);
    }
    EX_TRY(ex_dnn_conv_create(&t->op, engine, c));
    for (int i = 0; i < ARGS_MAX && args[c->pass][i]; i++)
        EX_TRY(trial_arg(t, engine, args[c->pass][i]));
    return trial_bind(t, lane);
}

static void run_tiles(const trial *t, const ex_cpu_lane *lane)
{
    float *at[EX_CPU_TILES_TENSORS];
    for (int i = 0; i < EX_CPU_TILES_TENSORS; i++)
        at[i] = (float *)(void *)(lane->core.arena + t->offset[i]);
    ex_cpu_tiles_try(at, t->tiles, lane->core.stream);
}

static ex_status trial_run(const trial *t, const ex_cpu_lane *lane, double *seconds)
{
    const int threads = lane->core.base.threads;
    const double start = ex_work_now(threads);
    if (t->tiles)
        run_tiles(t, lane);
    else
        EX_TRY(EX_DNN(dnnl_primitive_execute(t->op.primitive, lane->stream, t->count, t->args)));
    *seconds = ex_work_now(threads) - start;
    return EX_OK;
}

/* *seconds = the fastest of some runs after one to warm up, or of that one if it was hopeless
 * against `best`. The shorter a run, the more of them: a busy machine interrupts some. */
static ex_status time_conv(ex_cpu_lane *lane, const ex_dnn_conv *c, double best, double *seconds)
{
    trial t = {0};
    double taken, spent = 0.0;
    ex_status status;
    EX_TRY_GOTO(trial_begin(&t, lane, c), done);
    EX_TRY_GOTO(trial_run(&t, lane, seconds), done);
    if (best > 0.0 && *seconds > HOPELESS * best)
        goto done;
    for (int run = 0; run < RUNS_MIN || (run < RUNS_MAX && spent < ENOUGH); run++) {
        EX_TRY_GOTO(trial_run(&t, lane, &taken), done);
        *seconds = run == 0 || taken < *seconds ? taken : *seconds;
        spent += taken;
    }
done:
    trial_end(&t);
    return status;
}

static bool is_winograd(ex_dnn_algorithm a)
{
    return a == EX_DNN_WINOGRAD || a == EX_DNN_TILES;
}

static bool may_use(const ex_dnn_conv *c, ex_dnn_algorithm a)
{
    if (a == EX_DNN_WINOGRAD)
        return c->window.R == 3 && c->window.S == 3 && c->window.stride == 1 && !c->bf16;
    if (a == EX_DNN_TILES)
        return ex_cpu_tiles_fit(c);
    if (a == EX_DNN_PIXELS)
        return c->src_block == c->C && c->dst_block == c->K;
    return true;
}

static ex_status time_all(ex_cpu_lane *lane, ex_dnn_conv *c)
{
    ex_dnn_conv candidate = *c;
    double best = 0.0, seconds;
    for (int a = 0; a < EX_DNN_ALGORITHMS; a++) {
        candidate.algorithm = (ex_dnn_algorithm)a;
        if (!may_use(c, candidate.algorithm))
            continue;
        const ex_status status = time_conv(lane, &candidate, best, &seconds);
        /* Also where its memory does not fit. */
        if ((status == EX_ERR_UNSUPPORTED || status == EX_ERR_MEMORY) && a != EX_DNN_DIRECT)
            continue;
        EX_TRY(status);
        const bool dearer = is_winograd(candidate.algorithm) && !is_winograd(c->algorithm);
        const double margin = dearer ? WINOGRAD_MARGIN : 1.0;
        if (best == 0.0 || seconds < margin * best) {
            best = seconds;
            c->algorithm = candidate.algorithm;
        }
    }
    return EX_OK;
}

/* EX_DNN_ALGORITHMS for no name of one. */
static ex_dnn_algorithm algorithm_of(const char *name)
{
    int a = 0;
    while (a < EX_DNN_ALGORITHMS && strcmp(name, names[a]) != 0)
        a++;
    return (ex_dnn_algorithm)a;
}

/* Takes what another run on this machine chose, if it can be computed here. */
static bool recall(ex_cpu_device *device, ex_dnn_conv *c, const char *key)
{
    const char *name = ex_algorithms_cache_find(&device->cache, &device->base, key);
    const ex_dnn_algorithm found = name ? algorithm_of(name) : EX_DNN_ALGORITHMS;
    if (found == EX_DNN_ALGORITHMS || !may_use(c, found))
        return false;
    c->algorithm = found;
    return true;
}

ex_status ex_cpu_choose(ex_cpu_lane *lane, ex_dnn_conv *c)
{
    ex_cpu_device *device = ex_cpu_device_of(&lane->core);
    char key[sizeof((ex_cpu_choice){0}.key)];
    ex_status status = EX_OK;
    c->algorithm = EX_DNN_DIRECT;
    if (device->base.options.conv == EX_CONV_DIRECT ||
        (!may_use(c, EX_DNN_PIXELS) && !may_use(c, EX_DNN_WINOGRAD) && !may_use(c, EX_DNN_TILES)))
        return EX_OK;
    key_of(key, sizeof key, c, lane->core.base.threads);
    pthread_mutex_lock(&device->timing);
    const ex_cpu_choice *choice = find(device, key);
    if (choice && !may_use(c, choice->algorithm)) {
        status = EX_FAIL(EX_ERR_INPUT,
                         "the file of algorithms has %s for \"%s\", which cannot be computed that "
                         "way; delete the file",
                         names[choice->algorithm], key);
    } else if (choice) {
        c->algorithm = choice->algorithm;
    } else {
        status = recall(device, c, key) ? EX_OK : time_all(lane, c);
        if (status == EX_OK)
            status = remember(device, key, c->algorithm);
        if (status == EX_OK)
            ex_algorithms_cache_add(&device->cache, &device->base, key, names[c->algorithm]);
    }
    pthread_mutex_unlock(&device->timing);
    return status;
}

/* --- file ------------------------------------------------------------------------------------- */

ex_status ex_cpu_algorithms_write(const ex_device *device, const char *path)
{
    ex_cpu_device *d = (ex_cpu_device *)device; /* whose lock is taken, no more */
    json_t *algorithms = json_object();
    pthread_mutex_lock(&d->timing);
    for (int i = 0; i < d->choice_count; i++)
        json_object_set_new(algorithms, d->choices[i].key,
                            json_string(names[d->choices[i].algorithm]));
    ex_algorithms_cache_write(&d->cache, device);
    pthread_mutex_unlock(&d->timing);
    return ex_algorithms_file_write(device, algorithms, path);
}

static ex_status adopt(ex_cpu_device *d, json_t *algorithms, const char *path)
{
    const char *key;
    json_t *value;
    json_object_foreach(algorithms, key, value)
    {
        const ex_dnn_algorithm a = algorithm_of(json_string_value(value));
        if (a == EX_DNN_ALGORITHMS)
            return EX_FAIL(EX_ERR_INPUT,
                           "%s: \"%s\" must be direct, pixels, winograd or tiles; delete the file",
                           path, key);
        if (strlen(key) >= sizeof((ex_cpu_choice){0}.key))
            return EX_FAIL(EX_ERR_INPUT, "%s: \"%.32s...\" is no convolution; delete the file",
                           path, key);
        if (!find(d, key))
            EX_TRY(remember(d, key, a));
    }
    return EX_OK;
}

ex_status ex_cpu_algorithms_read(ex_device *device, const char *path)
{
    ex_cpu_device *d = (ex_cpu_device *)device;
    json_t *root, *algorithms;
    EX_TRY(ex_algorithms_file_read(&root, &algorithms, device, path));
    pthread_mutex_lock(&d->timing);
    const ex_status status = adopt(d, algorithms, path);
    pthread_mutex_unlock(&d->timing);
    json_decref(root);
    return status;
}
