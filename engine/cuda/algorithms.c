/* What is taken for each graph: a candidate of the library, or kernels of ours where they compute
 * the same. All lanes and plans of a device take the same: lanes that chose for themselves would
 * differ in bits. Convolutions are timed once, and so are norms and pools against our kernels,
 * unless a run before on this machine did (algorithms_cache.h). */
#include "algorithms_file.h"
#include "base/memory.h"
#include "cuda/cuda_impl.h"
#include "cuda/timing.h"

#include <stdio.h>
#include <string.h>

/* Best guesses that are timed: of convolutions, and beside kernels of ours, where each is
 * compiled. */
enum {
    FIRST_ROOM = 64,
    CANDIDATES = 8,
    RIVALS = 1,
    KEY_MAX = EX_CUDA_PASSES * (EX_GRAPH_TEXT + 16),
};

/* What is stored of a contest. */
static const char KERNELS[] = "kernels", LIBRARY[] = "library";
/* A library's plan for what kernels of ours can do is compiled when it is made, on each lane anew:
 * seconds, that it has to be worth. */
static const float WORTH = 0.95f;

void ex_cuda_choices_free(ex_cuda_device *device)
{
    ex_algorithms_cache_close(&device->cache, &device->base);
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

/* The same of what this run made, and keeps for others; what is not timed costs them nothing. */
static ex_status keep(ex_cuda_device *device, const char *graph, const char *stored)
{
    if (device->base.options.conv == EX_CONV_AUTO)
        ex_algorithms_cache_add(&device->cache, &device->base, graph, stored);
    return remember(device, graph, stored, false);
}

/* What another run on this machine chose, or NULL. */
static const char *recall(ex_cuda_device *device, const char *graph)
{
    return device->base.options.conv == EX_CONV_AUTO
               ? ex_algorithms_cache_find(&device->cache, &device->base, graph)
               : NULL;
}

/* --- choosing --------------------------------------------------------------------------------- */

static ex_status first(ex_dnn_plan **out, ex_cuda_lane *lane, const ex_dnn_graph *g, int count)
{
    ex_status status = EX_ERR_UNSUPPORTED;
    for (int i = 0; i < count && status == EX_ERR_UNSUPPORTED; i++)
        status = ex_dnn_plan_create(out, lane->dnn, g, i, NULL);
    return ex_cuda_library(status, EX_CUDA_LESS_PLAN);
}

static bool has_convolution(const ex_dnn_graph *g)
{
    for (int i = 0; i < g->op_count; i++)
        if (g->op[i].kind == EX_GRAPH_CONV_FWD || g->op[i].kind == EX_GRAPH_CONV_DGRAD ||
            g->op[i].kind == EX_GRAPH_CONV_WGRAD)
            return true;
    return false;
}

static ex_status best(ex_dnn_plan **out, ex_cuda_lane *lane, const ex_dnn_graph *g)
{
    const bool timed = lane->device->base.options.conv == EX_CONV_AUTO && has_convolution(g);
    float milliseconds;
    int count;
    EX_TRY(ex_cuda_library(ex_dnn_plan_count(&count, lane->dnn, g), EX_CUDA_LESS_PLAN));
    return timed && count > 1 ? ex_cuda_fastest(out, &milliseconds, lane, g,
                                                count < CANDIDATES ? count : CANDIDATES)
                              : first(out, lane, g, count);
}

static ex_status choose(ex_dnn_plan **out, ex_cuda_lane *lane, const ex_dnn_graph *g,
                        const char *text)
{
    const char *recalled = recall(lane->device, text);
    char *stored = NULL;
    ex_status status;
    if (recalled && ex_cuda_library(ex_dnn_plan_create(out, lane->dnn, g, 0, recalled),
                                    EX_CUDA_LESS_PLAN) == EX_OK) {
        status = remember(lane->device, text, recalled, false);
    } else {
        EX_TRY(best(out, lane, g));
        status = ex_dnn_plan_store(*out, &stored);
        if (status == EX_OK)
            status = keep(lane->device, text, stored);
    }
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
        status = ex_cuda_library(ex_dnn_plan_create(out, lane->dnn, g, 0, choice->stored),
                                 EX_CUDA_LESS_PLAN);
    pthread_mutex_unlock(&lane->device->choosing);
    return chosen && status == EX_ERR_UNSUPPORTED ? refused(text, read) : status;
}

/* --- the library or kernels of ours ----------------------------------------------------------- */

/* *faster: whether the library is, in each pass; one that it has no plan for is lost. The passes
 * are looked at one by one, so that no more is compiled than tells. */
static ex_status contest(bool *faster, ex_dnn_plan **plan, ex_cuda_lane *lane,
                         const ex_cuda_contest *c)
{
    float ours, theirs;
    int count;
    *faster = true;
    for (int i = 0; i < c->passes && *faster; i++) {
        ex_cuda_timed own = c->own;
        own.pass = i;
        *faster = false;
        ex_status status = ex_cuda_time(&ours, lane, &c->graph[i], &own);
        if (status == EX_ERR_MEMORY)
            return EX_OK;
        EX_TRY(status);
        status = ex_dnn_plan_count(&count, lane->dnn, &c->graph[i]);
        if (status == EX_OK)
            status = ex_cuda_fastest(&plan[i], &theirs, lane, &c->graph[i],
                                     count < RIVALS ? count : RIVALS);
        if (status == EX_ERR_UNSUPPORTED || status == EX_ERR_MEMORY)
            return EX_OK;
        EX_TRY(status);
        *faster = theirs < WORTH * ours;
    }
    return EX_OK;
}

static ex_status remember_plan(ex_cuda_device *device, const ex_dnn_graph *g,
                               const ex_dnn_plan *plan)
{
    char text[EX_GRAPH_TEXT], *stored = NULL;
    ex_dnn_graph_describe(g, text, sizeof text);
    if (find(device, text)) /* of another contest: its backward pass differs */
        return EX_OK;
    EX_TRY(ex_dnn_plan_store(plan, &stored));
    const ex_status status = keep(device, text, stored);
    ex_free(&stored);
    return status;
}

static ex_status hold_contest(bool *library, ex_cuda_lane *lane, const ex_cuda_contest *c,
                              const char *key)
{
    ex_dnn_plan *plan[EX_CUDA_PASSES] = {NULL};
    ex_status status = contest(library, plan, lane, c);
    for (int i = 0; i < c->passes && *library && status == EX_OK; i++)
        status = remember_plan(lane->device, &c->graph[i], plan[i]);
    if (status == EX_OK)
        status = keep(lane->device, key, *library ? LIBRARY : KERNELS);
    for (int i = 0; i < c->passes; i++)
        ex_dnn_plan_destroy(&plan[i]);
    return status;
}

/* By what another run on this machine found, or anew. */
static ex_status decide(bool *library, ex_cuda_lane *lane, const ex_cuda_contest *c,
                        const char *key)
{
    const char *recalled = recall(lane->device, key);
    *library = recalled && strcmp(recalled, LIBRARY) == 0;
    if (*library || (recalled && strcmp(recalled, KERNELS) == 0))
        return remember(lane->device, key, recalled, false);
    return hold_contest(library, lane, c, key);
}

ex_status ex_cuda_prefer_library(bool *library, ex_cuda_lane *lane, const ex_cuda_contest *c)
{
    char key[KEY_MAX], text[EX_GRAPH_TEXT];
    ex_status status = EX_OK;
    *library = false;
    if (lane->device->base.options.conv != EX_CONV_AUTO)
        return EX_OK;
    key[0] = '\0';
    for (int i = 0; i < c->passes; i++) {
        ex_dnn_graph_describe(&c->graph[i], text, sizeof text);
        ex_append(key, sizeof key, "%s%s", i ? ", then " : "by: ", text);
    }
    pthread_mutex_lock(&lane->device->choosing);
    const ex_cuda_choice *choice = find(lane->device, key);
    *library = choice && strcmp(choice->stored, LIBRARY) == 0;
    if (!choice)
        status = decide(library, lane, c, key);
    else if (!*library && strcmp(choice->stored, KERNELS) != 0)
        status = EX_FAIL(EX_ERR_INPUT,
                         "the file of algorithms has \"%.32s\" for \"%s\"; %s or %s is "
                         "expected; delete the file",
                         choice->stored, key, KERNELS, LIBRARY);
    pthread_mutex_unlock(&lane->device->choosing);
    return status;
}

/* --- file ------------------------------------------------------------------------------------- */

ex_status ex_cuda_algorithms_write(const ex_device *device, const char *path)
{
    ex_cuda_device *d = (ex_cuda_device *)device; /* whose lock is taken, no more */
    json_t *algorithms = json_object();
    pthread_mutex_lock(&d->choosing);
    for (int i = 0; i < d->choice_count; i++)
        json_object_set_new(algorithms, d->choices[i].graph, json_string(d->choices[i].stored));
    ex_algorithms_cache_write(&d->cache, device);
    pthread_mutex_unlock(&d->choosing);
    return ex_algorithms_file_write(device, algorithms, path);
}

static ex_status adopt(ex_cuda_device *d, json_t *algorithms, const char *path)
{
    const char *key;
    json_t *value;
    json_object_foreach(algorithms, key, value)
    {
        if (strlen(key) >= KEY_MAX)
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
    json_t *root, *algorithms;
    EX_TRY(ex_algorithms_file_read(&root, &algorithms, device, path));
    pthread_mutex_lock(&d->choosing);
    const ex_status status = adopt(d, algorithms, path);
    pthread_mutex_unlock(&d->choosing);
    json_decref(root);
    return status;
}
