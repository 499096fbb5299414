/* Choosing the algorithm of each convolution, by time.
 *
 * oneDNN's own `auto` takes neither Winograd nor the kernels for NHWC. Each shape and pass is timed
 * once per device, unless a run before on this machine did (algorithms_cache.h); the lock makes
 * concurrent lanes wait for the first one's choice, since lanes that chose for themselves would
 * differ in bits.
 *
 * A trial is what a plan's step would run: where training makes filters ready in every step, that
 * is timed too, since for small batches it takes as long as Winograd saves. It runs alone, again
 * and again, with its tensors in the cache where they fit; in a plan other lanes run beside it and
 * other steps before it. */
#include "algorithms_file.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "cpu/cpu_impl.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RUNS_MIN = 3,
    RUNS_MAX = 12,
    ARGS_MAX = 5,
    STEPS_MAX = 1 + EX_CPU_REORDERS_MAX,
    CACHE_LINE = 64,
    FIRST_ROOM = 64,
};

/* Seconds of runs after which no more are made. */
static const double ENOUGH = 0.01;
/* What is so many times slower than the best will not win. */
static const double HOPELESS = 2.0;
/* Seconds of a first run that neither cold caches nor an interruption make of a short one. */
static const double LONG = 0.02;
/* Winograd is less accurate (a few units of 1e-6 against 1e-7): it has to be worth it. */
static const double WINOGRAD_MARGIN = 0.93;

static const char *const names[EX_DNN_ALGORITHMS] = {[EX_DNN_DIRECT] = "direct",
                                                     [EX_DNN_PIXELS] = "pixels",
                                                     [EX_DNN_WINOGRAD] = "winograd",
                                                     [EX_DNN_TILES] = "tiles",
                                                     [EX_DNN_ROWS] = "rows"};

static void key_of(char *key, size_t size, const ex_dnn_conv *c, int threads)
{
    const ex_dnn_window *w = &c->window;
    static const char *const passes[] = {"train", "eval", "data", "weights"};
    snprintf(key, size,
             "%s n%d c%d h%d w%d k%d r%d s%d stride%d pad%d%s%s%s%s%s src%d dst%d threads%d",
             passes[c->pass], c->N, c->C, w->H, w->W, c->K, w->R, w->S, w->stride, w->pad,
             c->bias ? " bias" : "", c->sum ? " sum" : "", c->relu ? " relu" : "",
             c->bf16 ? " bf16" : "", c->bf16 && c->wide ? " wide" : "", c->src_block, c->dst_block,
             threads);
}

/* Keys of earlier versions do not, and what they chose may not fit these layouts. */
static bool tells_layouts(const char *key)
{
    return strstr(key, " src") && strstr(key, " dst");
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

/* Those of our own. */
static const struct {
    bool (*fits)(const ex_dnn_conv *c);
    void (*floats)(size_t floats[EX_CPU_TRIAL_TENSORS], const ex_dnn_conv *c, ex_stream stream);
    void (*run)(float *const at[EX_CPU_TRIAL_TENSORS], const ex_dnn_conv *c, ex_stream s);
} own[EX_DNN_ALGORITHMS] = {
    [EX_DNN_TILES] = {ex_cpu_tiles_fit, ex_cpu_tiles_trial_floats, ex_cpu_tiles_try},
    [EX_DNN_ROWS] = {ex_cpu_rows_fit, ex_cpu_rows_trial_floats, ex_cpu_rows_try},
};

bool ex_cpu_is_own(ex_dnn_algorithm algorithm)
{
    return own[algorithm].run != NULL;
}

/* --- timing ----------------------------------------------------------------------------------- */

/* A primitive, on tensors in the lane's arena. */
typedef struct trial_step {
    ex_dnn_op op;
    dnnl_exec_arg_t args[ARGS_MAX];
    size_t offset[ARGS_MAX];
    int count;
} trial_step;

typedef struct trial {
    trial_step steps[STEPS_MAX]; /* in the order of execution; or none, and: */
    int count;
    const ex_dnn_conv *own; /* what kernels of our own compute */
    size_t own_at[EX_CPU_TRIAL_TENSORS];
    size_t bytes;
} trial;

static size_t whole_lines(size_t bytes)
{
    return (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

/* Where a new tensor lies. */
static size_t trial_tensor(trial *t, size_t bytes)
{
    const size_t offset = t->bytes;
    t->bytes += whole_lines(bytes);
    return offset;
}

static ex_status step_arg(trial_step *s, dnnl_engine_t engine, int arg, size_t offset)
{
    const int i = s->count++;
    s->args[i].arg = arg;
    s->offset[i] = offset;
    return ex_dnn_op_memory(&s->args[i].memory, &s->op, arg, engine);
}

/* The same in a new tensor, if the op has such an argument. */
static ex_status step_new_arg(trial *t, trial_step *s, dnnl_engine_t engine, int arg)
{
    const size_t bytes = ex_dnn_op_bytes(&s->op, arg);
    return bytes ? step_arg(s, engine, arg, trial_tensor(t, bytes)) : EX_OK;
}

/* Where the step's argument lies. */
static size_t step_at(const trial_step *s, int arg)
{
    int i = 0;
    while (i < s->count && s->args[i].arg != arg)
        i++;
    return s->offset[i];
}

static ex_status trial_conv(trial *t, trial_step *s, dnnl_engine_t engine, ex_dnn_pass pass)
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
    for (int i = 0; i < ARGS_MAX && args[pass][i]; i++)
        EX_TRY(step_new_arg(t, s, engine, args[pass][i]));
    return EX_OK;
}

/* The step between tensors that are there. */
static ex_status trial_reorder(trial *t, trial_step *s, dnnl_engine_t engine, size_t from,
                               size_t to)
{
    EX_TRY(step_arg(s, engine, DNNL_ARG_FROM, from));
    EX_TRY(step_arg(s, engine, DNNL_ARG_TO, to));
    return step_new_arg(t, s, engine, DNNL_ARG_SCRATCHPAD);
}

/* The convolution behind the `reorders` steps that make its filters ready. */
static ex_status trial_behind(trial *t, dnnl_engine_t engine, ex_dnn_pass pass, int reorders)
{
    trial_step *conv = &t->steps[reorders];
    EX_TRY(trial_conv(t, conv, engine, pass));
    size_t to = step_at(conv, DNNL_ARG_WEIGHTS);
    for (int i = reorders - 1; i >= 0; i--) {
        trial_step *s = &t->steps[i];
        const size_t from = trial_tensor(t, ex_dnn_op_bytes(&s->op, DNNL_ARG_FROM));
        EX_TRY(trial_reorder(t, s, engine, from, to));
        to = from;
    }
    return EX_OK;
}

/* The convolution, which is the first step, and what brings the gradient into place. */
static ex_status trial_weights(trial *t, dnnl_engine_t engine, const ex_dnn_filter *f)
{
    trial_step *conv = &t->steps[0], *reorder = &t->steps[1];
    EX_TRY(trial_conv(t, conv, engine, EX_DNN_BACKWARD_WEIGHTS));
    EX_TRY(ex_dnn_filter_out(&reorder->op, engine, &conv->op, DNNL_ARG_DIFF_WEIGHTS, f));
    if (!reorder->op.primitive)
        return EX_OK;
    t->count++;
    return trial_reorder(t, reorder, engine, step_at(conv, DNNL_ARG_DIFF_WEIGHTS),
                         trial_tensor(t, ex_dnn_op_bytes(&reorder->op, DNNL_ARG_TO)));
}

static ex_status trial_steps(trial *t, dnnl_engine_t engine, const ex_dnn_conv *c)
{
    const ex_dnn_filter f = {.K = c->K, .C = c->C, .R = c->window.R, .S = c->window.S};
    ex_dnn_op op, reorders[EX_CPU_REORDERS_MAX];
    int count = 0;
    EX_TRY(ex_dnn_conv_create(&op, engine, c));
    const ex_status status = ex_cpu_pass_makes_filters(c->pass)
                                 ? ex_cpu_filter_reorders(reorders, &count, engine, &op, &f)
                                 : EX_OK;
    for (int i = 0; i < count; i++)
        t->steps[t->count++].op = reorders[i];
    t->steps[t->count++].op = op;
    EX_TRY(status);
    return c->pass == EX_DNN_BACKWARD_WEIGHTS ? trial_weights(t, engine, &f)
                                              : trial_behind(t, engine, c->pass, count);
}

/* Of kernels of our own. */
static void trial_own(trial *t, const ex_cpu_lane *lane, const ex_dnn_conv *c)
{
    size_t floats[EX_CPU_TRIAL_TENSORS];
    own[c->algorithm].floats(floats, c, lane->core.stream);
    for (int i = 0; i < EX_CPU_TRIAL_TENSORS; i++)
        t->own_at[i] = trial_tensor(t, floats[i] * sizeof(float));
    t->own = c;
}

/* Nothing else lies in the arena while a plan is made. It is filled anew for each trial: what the
 * one before left are numbers too, of sizes that may be slow to compute with. */
static ex_status trial_bind(trial *t, ex_cpu_lane *lane)
{
    EX_TRY(ex_lane_borrow(&lane->core, t->bytes));
    float *values = (float *)(void *)lane->core.arena;
    for (size_t i = 0; i < t->bytes / sizeof *values; i++)
        values[i] = (float)(i % 7) * 0.125f - 0.375f;
    for (int i = 0; i < t->count; i++) {
        const trial_step *s = &t->steps[i];
        for (int j = 0; j < s->count; j++)
            EX_TRY(EX_DNN(
                dnnl_memory_set_data_handle(s->args[j].memory, lane->core.arena + s->offset[j])));
    }
    return EX_OK;
}

static void trial_end(trial *t)
{
    for (int i = 0; i < t->count; i++) {
        trial_step *s = &t->steps[i];
        for (int j = 0; j < s->count; j++)
            if (s->args[j].memory)
                dnnl_memory_destroy(s->args[j].memory);
        ex_dnn_op_destroy(&s->op);
    }
}

static ex_status trial_begin(trial *t, ex_cpu_lane *lane, const ex_dnn_conv *c)
{
    if (ex_cpu_is_own(c->algorithm))
        trial_own(t, lane, c);
    else
        EX_TRY(trial_steps(t, ex_cpu_device_of(&lane->core)->engine, c));
    return trial_bind(t, lane);
}

static void run_own(const trial *t, const ex_cpu_lane *lane)
{
    float *at[EX_CPU_TRIAL_TENSORS];
    for (int i = 0; i < EX_CPU_TRIAL_TENSORS; i++)
        at[i] = (float *)(void *)(lane->core.arena + t->own_at[i]);
    own[t->own->algorithm].run(at, t->own, lane->core.stream);
}

static ex_status trial_run(const trial *t, const ex_cpu_lane *lane, double *seconds)
{
    const int threads = lane->core.base.threads;
    const double start = ex_work_now(threads);
    if (t->own)
        run_own(t, lane);
    for (int i = 0; i < t->count; i++) {
        const trial_step *s = &t->steps[i];
        EX_TRY(EX_DNN(dnnl_primitive_execute(s->op.primitive, lane->stream, s->count, s->args)));
    }
    *seconds = ex_work_now(threads) - start;
    return EX_OK;
}

/* *seconds = the fastest of some runs after one to warm up, or of fewer that were hopeless against
 * `best`: the first one, where it was long, or that and the second. The shorter a run, the more of
 * them: a busy machine interrupts some. */
static ex_status time_conv(ex_cpu_lane *lane, const ex_dnn_conv *c, double best, double *seconds)
{
    const double too_slow = best > 0.0 ? HOPELESS * best : DBL_MAX;
    trial t = {0};
    double first, taken, spent = 0.0;
    ex_status status;
    EX_TRY_GOTO(trial_begin(&t, lane, c), done);
    EX_TRY_GOTO(trial_run(&t, lane, &first), done);
    *seconds = first;
    if (first > too_slow && first > LONG)
        goto done;
    for (int run = 0; run < RUNS_MIN || (run < RUNS_MAX && spent < ENOUGH); run++) {
        EX_TRY_GOTO(trial_run(&t, lane, &taken), done);
        *seconds = run == 0 || taken < *seconds ? taken : *seconds;
        spent += taken;
        if (run == 0 && first > too_slow && taken > too_slow)
            goto done;
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
    if (own[a].fits)
        return own[a].fits(c);
    if (a == EX_DNN_PIXELS)
        return c->src_block == c->C && c->dst_block == c->K;
    return true;
}

static bool has_choice(const ex_dnn_conv *c)
{
    for (int a = EX_DNN_DIRECT + 1; a < EX_DNN_ALGORITHMS; a++)
        if (may_use(c, (ex_dnn_algorithm)a))
            return true;
    return false;
}

static ex_status time_all(ex_cpu_lane *lane, ex_dnn_conv *c)
{
    ex_dnn_conv candidate = *c;
    double best = 0.0, seconds = 0.0;
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
    if (device->base.options.conv == EX_CONV_DIRECT || !has_choice(c))
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

static ex_status fail_unknown(const char *path, const char *key)
{
    char known[128] = "";
    for (int a = 0; a < EX_DNN_ALGORITHMS; a++)
        ex_append(known, sizeof known, "%s%s", a ? ", " : "", names[a]);
    return EX_FAIL(EX_ERR_INPUT, "%s: \"%s\" must be one of %s; delete the file", path, key, known);
}

static ex_status adopt(ex_cpu_device *d, json_t *algorithms, const char *path)
{
    const char *key;
    json_t *value;
    int old = 0;
    json_object_foreach(algorithms, key, value)
    {
        const ex_dnn_algorithm a = algorithm_of(json_string_value(value));
        if (a == EX_DNN_ALGORITHMS)
            return fail_unknown(path, key);
        if (strlen(key) >= sizeof((ex_cpu_choice){0}.key))
            return EX_FAIL(EX_ERR_INPUT, "%s: \"%.32s...\" is no convolution; delete the file",
                           path, key);
        if (!tells_layouts(key))
            old++;
        else if (!find(d, key))
            EX_TRY(remember(d, key, a));
    }
    if (old)
        ex_log_warn(
            "%s: choices of an earlier version, which tell no layouts (%d), are timed again, "
            "and results may differ in their last bits",
            path, old);
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
