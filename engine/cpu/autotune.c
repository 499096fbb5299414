/* Choosing direct or Winograd convolution, by time.
 *
 * oneDNN's own `auto` never takes Winograd here. Each shape and pass is timed once per device; the
 * lock makes concurrent lanes wait for the first one's choice, since lanes that chose for
 * themselves would differ in bits. */
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "cpu/cpu_impl.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 3, ARGS_MAX = 5, SCHEMA = 1 };

static void key_of(char *key, size_t size, const ex_dnn_conv *c, int threads)
{
    static const char *const passes[] = {"train", "eval", "data", "weights"};
    snprintf(key, size, "%s n%d c%d h%d w%d k%d r%d s%d stride%d pad%d%s%s%s threads%d",
             passes[c->pass], c->N, c->C, c->H, c->W, c->K, c->R, c->S, c->stride, c->pad,
             c->bias ? " bias" : "", c->sum ? " sum" : "", c->relu ? " relu" : "", threads);
}

static const ex_cpu_choice *find(const ex_cpu_device *device, const char *key)
{
    for (int i = 0; i < device->choice_count; i++)
        if (strcmp(device->choices[i].key, key) == 0)
            return &device->choices[i];
    return NULL;
}

static ex_status remember(ex_cpu_device *device, const char *key, bool winograd)
{
    if (device->choice_count == device->choice_room) {
        const int room = device->choice_room ? 2 * device->choice_room : 64;
        ex_cpu_choice *grown;
        EX_TRY(ex_alloc(&grown, (size_t)room, sizeof *grown, "algorithms"));
        if (device->choices)
            memcpy(grown, device->choices, (size_t)device->choice_count * sizeof *grown);
        ex_free(&device->choices);
        device->choices = grown;
        device->choice_room = room;
    }
    ex_cpu_choice *choice = &device->choices[device->choice_count++];
    snprintf(choice->key, sizeof choice->key, "%s", key);
    choice->winograd = winograd;
    return EX_OK;
}

/* --- timing ----------------------------------------------------------------------------------- */

typedef struct trial {
    ex_dnn_op op;
    dnnl_exec_arg_t args[ARGS_MAX + 1];
    float *data[ARGS_MAX + 1];
    int count;
} trial;

static ex_status trial_arg(trial *t, dnnl_engine_t engine, int arg)
{
    const size_t bytes = ex_dnn_op_bytes(&t->op, arg);
    if (!bytes)
        return EX_OK;
    const int i = t->count;
    EX_TRY(ex_alloc(&t->data[i], bytes, 1, "timing of convolutions"));
    t->count++;
    t->args[i].arg = arg;
    if (arg != DNNL_ARG_SCRATCHPAD)
        for (size_t j = 0; j < bytes / sizeof(float); j++)
            t->data[i][j] = (float)(j % 7) * 0.125f - 0.375f;
    EX_TRY(ex_dnn_op_memory(&t->args[i].memory, &t->op, arg, engine));
    return EX_DNN(dnnl_memory_set_data_handle(t->args[i].memory, t->data[i]));
}

static void trial_end(trial *t)
{
    for (int i = 0; i < t->count; i++) {
        if (t->args[i].memory)
            dnnl_memory_destroy(t->args[i].memory);
        ex_free(&t->data[i]);
    }
    ex_dnn_op_destroy(&t->op);
}

/* *seconds = the fastest of a few runs after one to warm up. */
static ex_status time_conv(ex_cpu_device *device, dnnl_stream_t stream, const ex_dnn_conv *c,
                           double *seconds)
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
    trial t = {0};
    ex_status status;
    *seconds = 0.0;
    EX_TRY(ex_dnn_conv_create(&t.op, device->engine, c));
    for (int i = 0; i < ARGS_MAX && args[c->pass][i]; i++)
        EX_TRY_GOTO(trial_arg(&t, device->engine, args[c->pass][i]), done);
    for (int run = 0; run <= RUNS; run++) {
        const double start = ex_now();
        EX_TRY_GOTO(EX_DNN(dnnl_primitive_execute(t.op.primitive, stream, t.count, t.args)), done);
        const double taken = ex_now() - start;
        if (run == 1 || (run > 1 && taken < *seconds))
            *seconds = taken;
    }
    status = EX_OK;
done:
    trial_end(&t);
    return status;
}

static ex_status time_both(ex_cpu_device *device, dnnl_stream_t stream, const ex_dnn_conv *c,
                           bool *winograd)
{
    ex_dnn_conv trial_conv = *c;
    double direct, other;
    trial_conv.winograd = true;
    *winograd = false;
    const ex_status status = time_conv(device, stream, &trial_conv, &other);
    if (status == EX_ERR_UNSUPPORTED || status == EX_ERR_BACKEND)
        return EX_OK;
    EX_TRY(status);
    trial_conv.winograd = false;
    EX_TRY(time_conv(device, stream, &trial_conv, &direct));
    *winograd = other < direct;
    return EX_OK;
}

ex_status ex_cpu_choose(ex_cpu_device *device, dnnl_stream_t stream, ex_dnn_conv *c, int threads)
{
    char key[sizeof((ex_cpu_choice){0}.key)];
    ex_status status = EX_OK;
    c->winograd = false;
    if (device->base.options.conv == EX_CONV_DIRECT || c->R != 3 || c->S != 3 || c->stride != 1)
        return EX_OK; /* Winograd is for 3 x 3 filters at stride 1 */
    key_of(key, sizeof key, c, threads);
    pthread_mutex_lock(&device->lock);
    const ex_cpu_choice *choice = find(device, key);
    if (choice) {
        c->winograd = choice->winograd;
    } else {
        status = time_both(device, stream, c, &c->winograd);
        if (status == EX_OK)
            status = remember(device, key, c->winograd);
    }
    pthread_mutex_unlock(&device->lock);
    return status;
}

/* --- file ------------------------------------------------------------------------------------- */

ex_status ex_cpu_algorithms_write(const ex_device *device, const char *path)
{
    const ex_cpu_device *d = (const ex_cpu_device *)device;
    json_t *algorithms = json_object();
    for (int i = 0; i < d->choice_count; i++)
        json_object_set_new(algorithms, d->choices[i].key,
                            json_string(d->choices[i].winograd ? "winograd" : "direct"));
    json_t *root = json_pack("{s:i, s:s, s:o}", "schema", SCHEMA, "device", device->description,
                             "algorithms", algorithms);
    const int failed = !root || json_dump_file(root, path, JSON_INDENT(2)) != 0;
    json_decref(root);
    if (failed)
        return EX_FAIL(EX_ERR_IO, "cannot write the algorithms to %s", path);
    return EX_OK;
}

static ex_status adopt(ex_cpu_device *d, json_t *algorithms, const char *path)
{
    const char *key;
    json_t *value;
    json_object_foreach(algorithms, key, value)
    {
        const char *name = json_string_value(value);
        const bool winograd = name && strcmp(name, "winograd") == 0;
        if (!winograd && !(name && strcmp(name, "direct") == 0))
            return EX_FAIL(EX_ERR_INPUT, "%s: \"%s\" must be direct or winograd; delete the file",
                           path, key);
        if (!find(d, key))
            EX_TRY(remember(d, key, winograd));
    }
    return EX_OK;
}

ex_status ex_cpu_algorithms_read(ex_device *device, const char *path)
{
    ex_cpu_device *d = (ex_cpu_device *)device;
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    if (!root)
        return EX_FAIL(EX_ERR_INPUT, "%s:%d: %s; delete the file to time again", path, error.line,
                       error.text);
    const char *made_for = json_string_value(json_object_get(root, "device"));
    ex_status status = EX_OK;
    if (json_integer_value(json_object_get(root, "schema")) != SCHEMA || !made_for ||
        strcmp(made_for, device->description) != 0) {
        ex_log("%s is for another processor or library (%s); timing the convolutions again", path,
               made_for ? made_for : "unnamed");
    } else {
        pthread_mutex_lock(&d->lock);
        status = adopt(d, json_object_get(root, "algorithms"), path);
        pthread_mutex_unlock(&d->lock);
    }
    json_decref(root);
    return status;
}
