/* The candidate that is taken for each graph. All lanes and plans of a device take the same one:
 * lanes that chose for themselves would differ in bits. Convolutions are timed once, by events,
 * while nothing else lies in the lane's arena. */
#include "base/log.h"
#include "base/memory.h"
#include "cuda/cuda_impl.h"
#include "io/file.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum {
    SCHEMA = 1,
    FIRST_ROOM = 64,
    CHOICES_MAX = 1 << 12, /* of a file */
    TEXT_MAX = 1 << 16,    /* bytes of a choice in a file */
    CANDIDATES = 8,        /* best guesses that are timed */
    RUNS = 5,              /* of each, after one to warm up */
    FILLING = 0x3c,        /* bytes of floats of 0.0115 */
};

void ex_cuda_choices_free(ex_cuda_device *device)
{
    for (int i = 0; i < device->choice_count; i++) {
        ex_free(&device->choices[i].graph);
        ex_free(&device->choices[i].stored);
    }
    ex_free(&device->choices);
    device->choice_count = 0;
}

static const ex_cuda_choice *find(const ex_cuda_device *device, const char *graph)
{
    for (int i = 0; i < device->choice_count; i++)
        if (strcmp(device->choices[i].graph, graph) == 0)
            return &device->choices[i];
    return NULL;
}

static ex_status copy_text(char **out, const char *text)
{
    const size_t bytes = strlen(text) + 1;
    EX_TRY(ex_alloc(out, bytes, 1, "algorithms"));
    memcpy(*out, text, bytes);
    return EX_OK;
}

static ex_status remember(ex_cuda_device *device, const char *graph, const char *stored, bool read)
{
    ex_cuda_choice made = {.read = read};
    ex_status status;
    EX_TRY(ex_grow(&device->choices, device->choice_count, &device->choice_room, FIRST_ROOM,
                   sizeof *device->choices, "algorithms"));
    EX_TRY_GOTO(copy_text(&made.graph, graph), fail);
    EX_TRY_GOTO(copy_text(&made.stored, stored), fail);
    device->choices[device->choice_count++] = made;
    return EX_OK;
fail:
    ex_free(&made.graph);
    return status;
}

/* --- timing ----------------------------------------------------------------------------------- */

static size_t rounded(size_t bytes)
{
    return (bytes + EX_CUDA_ALIGN - 1) / EX_CUDA_ALIGN * EX_CUDA_ALIGN;
}

static size_t tensor_bytes(const ex_graph_tensor *t)
{
    return t->is_virtual ? 0 : ex_graph_tensor_elements(t) * ex_graph_type_size(t->type);
}

/* Lays the graph's tensors and the workspace into the arena. */
static ex_status lay_out(ex_cuda_lane *lane, const ex_dnn_graph *g, size_t workspace, void **data,
                         void **scratch)
{
    size_t bytes = rounded(workspace), at = bytes;
    for (int i = 0; i < g->tensor_count; i++)
        bytes += rounded(tensor_bytes(&g->tensor[i]));
    EX_TRY(ex_cuda_borrow(lane, bytes));
    *scratch = lane->arena;
    for (int i = 0; i < g->tensor_count; i++) {
        const ex_graph_tensor *t = &g->tensor[i];
        data[i] = t->is_virtual ? NULL : lane->arena + at;
        if (data[i])
            EX_TRY(EX_CUDA(cudaMemsetAsync(data[i], FILLING, tensor_bytes(t), lane->stream)));
        at += rounded(tensor_bytes(t));
    }
    return EX_OK;
}

/* *milliseconds of RUNS runs. */
static ex_status time_plan(ex_cuda_lane *lane, const ex_dnn_graph *g, const ex_dnn_plan *plan,
                           cudaEvent_t start, cudaEvent_t end, float *milliseconds)
{
    void *data[EX_GRAPH_TENSORS], *scratch;
    EX_TRY(lay_out(lane, g, ex_dnn_plan_workspace(plan), data, &scratch));
    for (int run = 0; run <= RUNS; run++) {
        if (run == 1)
            EX_TRY(EX_CUDA(cudaEventRecord(start, lane->stream)));
        EX_TRY(ex_dnn_plan_run(plan, data, scratch));
    }
    EX_TRY(EX_CUDA(cudaEventRecord(end, lane->stream)));
    EX_TRY(EX_CUDA(cudaEventSynchronize(end)));
    return EX_CUDA(cudaEventElapsedTime(milliseconds, start, end));
}

/* *out = the fastest of the first candidates; those that cannot be built, or whose memory does not
 * fit beside others, are passed over. */
static ex_status fastest(ex_dnn_plan **out, ex_cuda_lane *lane, const ex_dnn_graph *g, int count)
{
    cudaEvent_t start = NULL, end = NULL;
    ex_dnn_plan *plan = NULL;
    float best = 0.0f, taken;
    ex_status status;
    *out = NULL;
    EX_TRY_GOTO(EX_CUDA(cudaEventCreate(&start)), done);
    EX_TRY_GOTO(EX_CUDA(cudaEventCreate(&end)), done);
    for (int i = 0; i < count && i < CANDIDATES; i++) {
        status = ex_dnn_plan_create(&plan, lane->dnn, g, i, NULL);
        if (status == EX_OK)
            status = time_plan(lane, g, plan, start, end, &taken);
        if (status == EX_ERR_UNSUPPORTED || status == EX_ERR_MEMORY) {
            ex_dnn_plan_destroy(&plan);
            continue;
        }
        EX_TRY_GOTO(status, done);
        if (!*out || taken < best) {
            ex_dnn_plan *const slower = *out;
            *out = plan;
            best = taken;
            plan = slower;
        }
        ex_dnn_plan_destroy(&plan);
    }
    status = *out ? EX_OK : status;
done:
    ex_dnn_plan_destroy(&plan);
    if (status != EX_OK)
        ex_dnn_plan_destroy(out);
    if (start)
        (void)cudaEventDestroy(start);
    if (end)
        (void)cudaEventDestroy(end);
    return status;
}

static ex_status first(ex_dnn_plan **out, ex_cuda_lane *lane, const ex_dnn_graph *g, int count)
{
    ex_status status = EX_ERR_UNSUPPORTED;
    for (int i = 0; i < count && status == EX_ERR_UNSUPPORTED; i++)
        status = ex_dnn_plan_create(out, lane->dnn, g, i, NULL);
    return status;
}

static bool has_convolution(const ex_dnn_graph *g)
{
    for (int i = 0; i < g->op_count; i++)
        if (g->op[i].kind == EX_GRAPH_CONV_FWD || g->op[i].kind == EX_GRAPH_CONV_DGRAD ||
            g->op[i].kind == EX_GRAPH_CONV_WGRAD)
            return true;
    return false;
}

static ex_status choose(ex_dnn_plan **out, ex_cuda_lane *lane, const ex_dnn_graph *g,
                        const char *text)
{
    const bool timed = lane->device->base.options.conv == EX_CONV_AUTO && has_convolution(g);
    char *stored = NULL;
    int count;
    EX_TRY(ex_dnn_plan_count(&count, lane->dnn, g));
    EX_TRY(timed && count > 1 ? fastest(out, lane, g, count) : first(out, lane, g, count));
    ex_status status = ex_dnn_plan_store(*out, &stored);
    if (status == EX_OK)
        status = remember(lane->device, text, stored, false);
    ex_free(&stored);
    if (status != EX_OK)
        ex_dnn_plan_destroy(out);
    return status;
}

/* What another lane, or the run that wrote the file, could make. */
static ex_status refused(const char *graph, bool read)
{
    char why[256];
    snprintf(why, sizeof why, "%s", ex_error_message());
    if (read)
        return EX_FAIL(
            EX_ERR_INPUT,
            "the file of algorithms has a choice for \"%s\" that cannot be made here (%s); "
            "delete the file",
            graph, why);
    return EX_FAIL(EX_ERR_BACKEND,
                   "the library made its plan for \"%s\" once in this run, and not again: %s",
                   graph, why);
}

ex_status ex_cuda_choose(ex_dnn_plan **out, ex_cuda_lane *lane, const ex_dnn_graph *g)
{
    char text[EX_GRAPH_TEXT];
    ex_status status;
    *out = NULL;
    ex_dnn_graph_describe(g, text, sizeof text);
    pthread_mutex_lock(&lane->device->choosing);
    const ex_cuda_choice *choice = find(lane->device, text);
    const bool chosen = choice, read = choice && choice->read;
    if (!choice)
        status = choose(out, lane, g, text);
    else
        status = ex_dnn_plan_create(out, lane->dnn, g, 0, choice->stored);
    pthread_mutex_unlock(&lane->device->choosing);
    return chosen && status == EX_ERR_UNSUPPORTED ? refused(text, read) : status;
}

/* --- file ------------------------------------------------------------------------------------- */

ex_status ex_cuda_algorithms_write(const ex_device *device, const char *path)
{
    ex_cuda_device *d = (ex_cuda_device *)device; /* whose lock is taken, no more */
    json_t *algorithms = json_object();
    pthread_mutex_lock(&d->choosing);
    for (int i = 0; i < d->choice_count; i++)
        json_object_set_new(algorithms, d->choices[i].graph, json_string(d->choices[i].stored));
    pthread_mutex_unlock(&d->choosing);
    json_t *root = json_pack("{s:i, s:s, s:o}", "schema", SCHEMA, "device", device->description,
                             "algorithms", algorithms);
    const ex_status status =
        root ? ex_json_write(path, root) : EX_FAIL(EX_ERR_MEMORY, "no memory for %s", path);
    json_decref(root);
    return status;
}

static ex_status adopt(ex_cuda_device *d, json_t *algorithms, const char *path)
{
    const char *key;
    json_t *value;
    if (!json_is_object(algorithms) || json_object_size(algorithms) > CHOICES_MAX)
        return EX_FAIL(EX_ERR_INPUT,
                       "%s: \"algorithms\" with at most %d graphs is expected; delete the file",
                       path, CHOICES_MAX);
    json_object_foreach(algorithms, key, value)
    {
        if (strlen(key) >= EX_GRAPH_TEXT || !json_is_string(value) ||
            json_string_length(value) > TEXT_MAX)
            return EX_FAIL(EX_ERR_INPUT, "%s: \"%.32s...\" is no graph; delete the file", path,
                           key);
        if (!find(d, key))
            EX_TRY(remember(d, key, json_string_value(value), true));
    }
    return EX_OK;
}

ex_status ex_cuda_algorithms_read(ex_device *device, const char *path)
{
    ex_cuda_device *d = (ex_cuda_device *)device;
    json_t *root;
    ex_status status = ex_json_read(&root, path);
    if (status == EX_ERR_INPUT)
        return EX_FAIL(status, "%s; without the file the convolutions are timed again",
                       ex_error_message());
    EX_TRY(status);
    const char *made_for = json_string_value(json_object_get(root, "device"));
    if (json_integer_value(json_object_get(root, "schema")) != SCHEMA || !made_for ||
        strcmp(made_for, device->description) != 0) {
        ex_log_warn("%s holds the choices of another GPU or library (%s; here is %s): convolutions "
                    "are timed again, and results may differ in their last bits",
                    path, made_for ? made_for : "unnamed", device->description);
    } else {
        pthread_mutex_lock(&d->choosing);
        status = adopt(d, json_object_get(root, "algorithms"), path);
        pthread_mutex_unlock(&d->choosing);
    }
    json_decref(root);
    return status;
}
