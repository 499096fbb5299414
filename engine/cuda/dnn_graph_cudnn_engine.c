/* What cuDNN can run a graph by: the engines that its heuristics name, less those that do not keep
 * the graph's promises. Every run gives the same bits, so engines that do not are left out, and no
 * precision has inputs made smaller than its own; fp32 means no rounding for tensor cores, and an
 * engine's notes say so, which an environment variable or a math mode would not. */
#include "cuda/dnn_graph_cudnn_impl.h"

#include "base/memory.h"

enum { CONFIGS_FIRST = 8 };

static bool note_allowed(cudnnBackendNumericalNote_t note, const ex_dnn_graph *g)
{
    switch (note) {
    case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
    case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS: /* perhaps to fp16, whose range is not bf16's */
        return false;
    case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
    case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
        return g->precision != EX_FP32;
    case CUDNN_NUMERICAL_NOTE_FFT:
    case CUDNN_NUMERICAL_NOTE_WINOGRAD:
    case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4:
    case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
    case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
        return !g->direct;
    default:
        return true;
    }
}

/* Whether the engine of a configuration keeps what the graph promises. */
static ex_status config_allowed(ex_cudnn_choices *c, cudnnBackendDescriptor_t config,
                                const ex_dnn_graph *g, bool *allowed)
{
    cudnnBackendDescriptor_t engine;
    cudnnBackendNumericalNote_t note[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t count = 0;
    EX_TRY(ex_cudnn_create(&engine, &c->owned, CUDNN_BACKEND_ENGINE_DESCRIPTOR));
    EX_CUDNN(cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                      CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine));
    EX_CUDNN(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                      CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT,
                                      &count, note));
    *allowed = true;
    for (int64_t i = 0; i < count; i++)
        *allowed = *allowed && note_allowed(note[i], g);
    return EX_OK;
}

ex_status ex_cudnn_compiles(cudnnBackendDescriptor_t config, bool *compiles)
{
    cudnnBackendDescriptor_t engine;
    cudnnBackendBehaviorNote_t note[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
    ex_cudnn_list owned = {0};
    int64_t count = 0;
    ex_status status;
    *compiles = false;
    EX_TRY_GOTO(ex_cudnn_create(&engine, &owned, CUDNN_BACKEND_ENGINE_DESCRIPTOR), out);
    EX_TRY_GOTO(
        ex_cudnn_status(cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine),
                        "CUDNN_ATTR_ENGINECFG_ENGINE", EX_WHERE),
        out);
    EX_TRY_GOTO(
        ex_cudnn_status(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE,
                                                 CUDNN_TYPE_BEHAVIOR_NOTE,
                                                 CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, &count, note),
                        "CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE", EX_WHERE),
        out);
    for (int64_t i = 0; i < count; i++)
        *compiles = *compiles || note[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
out:
    ex_cudnn_list_destroy(&owned);
    return status;
}

/* Adds what one mode of the heuristics names. A mode that has nothing for the graph is no error. */
static ex_status add_mode(ex_cudnn_choices *c, cudnnBackendHeurMode_t mode,
                          cudnnBackendDescriptor_t graph, cudnnBackendDescriptor_t device,
                          const ex_dnn_graph *g)
{
    cudnnBackendDescriptor_t heuristics, *found = NULL;
    int64_t count = 0;
    ex_status status =
        ex_cudnn_make(&heuristics, &c->owned, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR,
                      (const ex_cudnn_attribute[]){
                          EX_CUDNN_ATTR(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                                        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph),
                          EX_CUDNN_ATTR(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode),
                          EX_CUDNN_ATTR(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                                        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &device)},
                      3, EX_WHERE);
    if (status == EX_ERR_UNSUPPORTED)
        return EX_OK;
    EX_TRY(status);
    EX_CUDNN(cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                      CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, NULL));
    EX_TRY(ex_alloc(&found, (size_t)count, sizeof *found, "cuDNN engines"));
    for (int64_t i = 0; i < count; i++)
        EX_TRY_GOTO(ex_cudnn_create(&found[i], &c->owned, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR), out);
    EX_TRY_GOTO(ex_cudnn_status(cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                                         CUDNN_TYPE_BACKEND_DESCRIPTOR, count,
                                                         &count, found),
                                "CUDNN_ATTR_ENGINEHEUR_RESULTS", EX_WHERE),
                out);
    for (int64_t i = 0; i < count; i++) {
        bool allowed;
        EX_TRY_GOTO(config_allowed(c, found[i], g, &allowed), out);
        c->found++;
        if (!allowed)
            continue;
        EX_TRY_GOTO(ex_grow(&c->config, c->count, &c->room, CONFIGS_FIRST, sizeof *c->config,
                            "cuDNN engines"),
                    out);
        c->config[c->count++] = found[i];
    }
out:
    ex_free(&found);
    return status;
}

ex_status ex_cudnn_choices_create(ex_cudnn_choices **out, cudnnBackendDescriptor_t device,
                                  const ex_dnn_graph *g)
{
    cudnnBackendDescriptor_t graph;
    ex_status status;
    EX_TRY(ex_alloc(out, 1, sizeof **out, "cuDNN engines"));
    ex_cudnn_choices *c = *out;
    c->users = 1;
    ex_dnn_graph_describe(g, c->graph, sizeof c->graph);
    EX_TRY_GOTO(ex_cudnn_lower(&graph, &c->owned, g), failed);
    EX_TRY_GOTO(add_mode(c, CUDNN_HEUR_MODE_A, graph, device, g), failed);
    EX_TRY_GOTO(add_mode(c, CUDNN_HEUR_MODE_FALLBACK, graph, device, g), failed);
    if (c->count > 0)
        return EX_OK;
    status = EX_FAIL(EX_ERR_UNSUPPORTED,
                     "cuDNN has no engine that may run this graph (%d of any kind): %s", c->found,
                     c->graph);
failed:
    ex_cudnn_choices_leave(out);
    return status;
}

void ex_cudnn_choices_leave(ex_cudnn_choices **choices)
{
    ex_cudnn_choices *c = *choices;
    *choices = NULL;
    if (!c || --c->users > 0)
        return;
    ex_cudnn_list_destroy(&c->owned);
    ex_free(&c->config);
    ex_free(&c);
}
