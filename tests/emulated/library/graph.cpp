/* The executor of dnn_graph.h for tests: plans of plain loops, queued on the emulated device.
 *
 * It behaves as a library may: each graph has several candidates that need workspace, of which one
 * cannot be built, and those that can differ in their bits. All of the workspace is overwritten, so
 * that one that is too small, or that two plans share at once, shows. */
#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "faults.h"
#include "library.h"
#include "ops.h"
#include "stream.h"

extern "C" {
#include "base/memory.h"
#include "cuda/dnn_graph.h"
}

using namespace ex_library;

enum { FORWARDS, NOT_BUILT, BACKWARDS, CANDIDATES };
static const size_t SPARE = 256; /* bytes of workspace beyond what is needed */

struct ex_dnn_handle {
    void *stream;
};

struct ex_dnn_plan {
    void *stream;
    ex_dnn_graph graph;
    int candidate;
    size_t virtual_at[EX_GRAPH_TENSORS]; /* where virtual tensors lie in the workspace */
    size_t scratch_at, workspace;
};

static size_t aligned(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static size_t elements(const ex_graph_tensor &t)
{
    return ex_graph_tensor_elements(&t);
}

/* The filters of a convolution; -1 of a pool. */
static int filters_of(const ex_graph_op &op)
{
    if (op.kind == EX_GRAPH_CONV_FWD || op.kind == EX_GRAPH_CONV_DGRAD)
        return op.in[1];
    return op.kind == EX_GRAPH_CONV_WGRAD ? op.out[0] : -1;
}

/* The window of an operation: x its larger side, y its smaller. */
static window window_of(const ex_dnn_graph &g, const ex_graph_op &op)
{
    int x = op.in[0], y = op.out[0];
    if (op.kind == EX_GRAPH_CONV_DGRAD || op.kind == EX_GRAPH_MAXPOOL_BWD ||
        op.kind == EX_GRAPH_AVGPOOL_BWD) {
        x = op.out[0];
        y = op.in[0];
    } else if (op.kind == EX_GRAPH_CONV_WGRAD) {
        x = op.in[1];
        y = op.in[0];
    }
    const int *dx = g.tensor[x].dim, *dy = g.tensor[y].dim, filters = filters_of(op);
    const int groups = filters < 0 ? 1 : dx[1] / g.tensor[filters].dim[1];
    return {dx[0], dx[1], dx[2], dx[3], dy[1], dy[2], dy[3], op.R, op.S, op.stride, op.pad, groups};
}

static channels channels_of(const ex_graph_tensor &t)
{
    return {elements(t) / t.dim[1], t.dim[1]};
}

static size_t scratch_of(const ex_dnn_graph &g, const ex_graph_op &op)
{
    if (op.kind == EX_GRAPH_NORM_FWD || op.kind == EX_GRAPH_NORM_BWD)
        return norm_scratch(channels_of(g.tensor[op.in[0]]));
    if (op.kind == EX_GRAPH_CONV_FWD)
        return conv_fwd_scratch(window_of(g, op));
    if (op.kind == EX_GRAPH_CONV_WGRAD)
        return conv_wgrad_scratch(window_of(g, op));
    return 0;
}

/* --- running ---------------------------------------------------------------------------------- */

namespace
{

/* A queued run: a copy of everything, since the plan may be gone by then. */
struct run {
    ex_dnn_plan plan;
    void *data[EX_GRAPH_TENSORS];
    char *workspace;

    float *floats(int tensor) const
    {
        return static_cast<float *>(data[tensor]);
    }
    void operator()();
    void op(const ex_graph_op &o);
    void conv(const ex_graph_op &o, const window &s);
    void norm(const ex_graph_op &o);
    void pool(const ex_graph_op &o, const window &s);
};

/* A bf16 tensor as floats, and floats rounded to the nearest of bf16, ties to even; a NaN stays
 * one.
 */
std::vector<float> widened(const uint16_t *from, size_t n)
{
    std::vector<float> to(n);
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = static_cast<uint32_t>(from[i]) << 16;
        memcpy(&to[i], &bits, sizeof bits);
    }
    return to;
}

void narrow(uint16_t *to, const std::vector<float> &from)
{
    for (size_t i = 0; i < from.size(); i++) {
        uint32_t bits;
        memcpy(&bits, &from[i], sizeof bits);
        const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
        bits = nan ? bits | 0x400000u : bits + 0x7fffu + (bits >> 16 & 1);
        to[i] = static_cast<uint16_t>(bits >> 16);
    }
}

void run::operator()()
{
    std::vector<float> wide[EX_GRAPH_TENSORS];
    uint16_t *narrowed[EX_GRAPH_TENSORS] = {};
    memset(workspace, 0xff, plan.workspace);
    for (int i = 0; i < plan.graph.tensor_count; i++) {
        const ex_graph_tensor &t = plan.graph.tensor[i];
        if (t.is_virtual) {
            data[i] = workspace + plan.virtual_at[i];
        } else if (t.type == EX_GRAPH_BF16) {
            narrowed[i] = static_cast<uint16_t *>(data[i]);
            wide[i] = widened(narrowed[i], elements(t));
            data[i] = wide[i].data();
        }
    }
    for (int i = 0; i < plan.graph.op_count; i++)
        op(plan.graph.op[i]);
    for (int i = 0; i < plan.graph.op_count; i++)
        for (int o = 0; o < ex_graph_op_outputs(plan.graph.op[i].kind); o++)
            if (const int out = plan.graph.op[i].out[o]; narrowed[out])
                narrow(narrowed[out], wide[out]);
    memset(workspace, 0xff, plan.workspace);
}

void run::conv(const ex_graph_op &o, const window &s)
{
    const float *a = floats(o.in[0]), *b = floats(o.in[1]);
    float *out = floats(o.out[0]);
    void *scratch = workspace + plan.scratch_at;
    const bool reversed = plan.candidate == BACKWARDS;
    if (o.kind == EX_GRAPH_CONV_FWD)
        conv_fwd(out, a, b, s, scratch, reversed);
    else if (o.kind == EX_GRAPH_CONV_DGRAD)
        conv_dgrad(out, a, b, s, reversed);
    else
        conv_wgrad(out, a, b, s, scratch, reversed);
}

void run::norm(const ex_graph_op &o)
{
    const channels s = channels_of(plan.graph.tensor[o.in[0]]);
    void *scratch = workspace + plan.scratch_at;
    const bool reversed = plan.candidate == BACKWARDS;
    if (o.kind == EX_GRAPH_NORM_FWD)
        norm_fwd({floats(o.in[1]), floats(o.in[2]), floats(o.in[3]), floats(o.in[4]),
                  floats(o.out[1]), floats(o.out[2]), floats(o.out[3]), floats(o.out[4])},
                 floats(o.out[0]), floats(o.in[0]), s, o.eps, scratch, reversed);
    else
        norm_bwd(floats(o.out[0]), floats(o.out[1]), floats(o.out[2]), floats(o.in[0]),
                 floats(o.in[1]), floats(o.in[2]), floats(o.in[3]), floats(o.in[4]), s, scratch,
                 reversed);
}

void run::pool(const ex_graph_op &o, const window &s)
{
    const float *in = floats(o.in[0]);
    float *out = floats(o.out[0]);
    if (o.kind == EX_GRAPH_MAXPOOL_FWD)
        maxpool_fwd(out, static_cast<signed char *>(data[o.out[1]]), in, s);
    else if (o.kind == EX_GRAPH_MAXPOOL_BWD)
        maxpool_bwd(out, in, static_cast<signed char *>(data[o.in[1]]), s);
    else if (o.kind == EX_GRAPH_AVGPOOL_FWD)
        avgpool_fwd(out, in, s);
    else
        avgpool_bwd(out, in, s);
}

void run::op(const ex_graph_op &o)
{
    const window s = window_of(plan.graph, o);
    const ex_graph_tensor &in = plan.graph.tensor[o.in[0]];
    const float *a = floats(o.in[0]);
    float *out = floats(o.out[0]);
    switch (o.kind) {
    case EX_GRAPH_CONV_FWD:
    case EX_GRAPH_CONV_DGRAD:
    case EX_GRAPH_CONV_WGRAD:
        return conv(o, s);
    case EX_GRAPH_BIAS:
        return bias_add(out, a, floats(o.in[1]), elements(in) / in.dim[1], in.dim[1]);
    case EX_GRAPH_ADD:
        return add(out, a, floats(o.in[1]), elements(in));
    case EX_GRAPH_RELU:
        return relu(out, a, elements(in));
    case EX_GRAPH_RELU_BWD:
        return relu_bwd(out, a, floats(o.in[1]), elements(in));
    case EX_GRAPH_NORM_FWD:
    case EX_GRAPH_NORM_BWD:
        return norm(o);
    case EX_GRAPH_MAXPOOL_FWD:
    case EX_GRAPH_MAXPOOL_BWD:
    case EX_GRAPH_AVGPOOL_FWD:
    case EX_GRAPH_AVGPOOL_BWD:
        return pool(o, s);
    }
}

} // namespace

/* --- what a plan costs: each tensor that is there moves once ---------------------------------- */

static double flop_of(const ex_dnn_graph &g, const ex_graph_op &op)
{
    if (op.kind != EX_GRAPH_CONV_FWD && op.kind != EX_GRAPH_CONV_DGRAD &&
        op.kind != EX_GRAPH_CONV_WGRAD)
        return 0;
    const window s = window_of(g, op);
    return 2.0 * s.N * s.P * s.Q * s.K * s.C / s.groups * s.R * s.S;
}

static void say_cost(const ex_dnn_graph &g)
{
    double flop = 0, bytes = 0;
    for (int i = 0; i < g.op_count; i++)
        flop += flop_of(g, g.op[i]);
    for (int i = 0; i < g.tensor_count; i++)
        if (!g.tensor[i].is_virtual)
            bytes +=
                static_cast<double>(elements(g.tensor[i]) * ex_graph_type_size(g.tensor[i].type));
    ex_emulated_cost(flop, bytes);
}

/* --- the header's functions ------------------------------------------------------------------- */

static std::atomic<bool> fused_refused;
static std::atomic<int> broken_candidate{-1};
static std::mutex watching;
static void (*watcher)(const ex_dnn_graph *g, void *context);
static void *watchers;

static ex_status supported(const ex_dnn_graph *g)
{
    char text[EX_GRAPH_TEXT];
    EX_TRY(ex_dnn_graph_check(g));
    {
        const std::lock_guard<std::mutex> hold(watching);
        if (watcher)
            watcher(g, watchers);
    }
    ex_dnn_graph_describe(g, text, sizeof text);
    if (fused_refused && g->op_count > 1)
        return EX_FAIL(EX_ERR_UNSUPPORTED, "fused graphs are refused: %s", text);
    return EX_OK;
}

extern "C" {

void ex_emulated_library_refuse_fused(bool refuse)
{
    fused_refused = refuse;
}

void ex_emulated_library_fail_runs(int candidate)
{
    broken_candidate = candidate;
}

void ex_emulated_library_watch(void (*seen)(const ex_dnn_graph *g, void *context), void *context)
{
    const std::lock_guard<std::mutex> hold(watching);
    watcher = seen;
    watchers = context;
}

void ex_dnn_library(char *text, size_t size)
{
    snprintf(text, size, "plain loops");
}

ex_status ex_dnn_handle_create(ex_dnn_handle **out, void *stream)
{
    EX_TRY(ex_library_called("ex_dnn_handle_create"));
    EX_TRY(ex_alloc(out, 1, sizeof **out, "library handle"));
    (*out)->stream = stream;
    return EX_OK;
}

void ex_dnn_handle_destroy(ex_dnn_handle **handle)
{
    ex_free(handle);
}

ex_status ex_dnn_plan_count(int *count, ex_dnn_handle *handle, const ex_dnn_graph *g)
{
    (void)handle;
    EX_TRY(ex_library_called("ex_dnn_plan_count"));
    EX_TRY(supported(g));
    *count = CANDIDATES;
    return EX_OK;
}

ex_status ex_dnn_plan_create(ex_dnn_plan **out, ex_dnn_handle *handle, const ex_dnn_graph *g,
                             int index, const char *stored)
{
    char text[EX_GRAPH_TEXT];
    int end = 0;
    *out = nullptr;
    EX_TRY(ex_library_called("ex_dnn_plan_create"));
    EX_TRY(supported(g));
    ex_dnn_graph_describe(g, text, sizeof text);
    if (stored && (sscanf(stored, "candidate %d of %n", &index, &end) != 1 || end == 0 ||
                   strcmp(stored + end, text) != 0))
        return EX_FAIL(EX_ERR_UNSUPPORTED, "the stored plan is not one of %s: %s", text, stored);
    EX_CHECK_ARG(index >= 0 && index < CANDIDATES, "candidate %d; there are %d of %s", index,
                 CANDIDATES, text);
    if (index == NOT_BUILT)
        return EX_FAIL(EX_ERR_UNSUPPORTED, "candidate %d of %s cannot be built", index, text);
    EX_TRY(ex_alloc(out, 1, sizeof **out, "library plan"));
    ex_dnn_plan *plan = *out;
    plan->stream = handle->stream;
    plan->graph = *g;
    plan->candidate = index;
    size_t scratch = 0, at = 0;
    for (int i = 0; i < g->tensor_count; i++) {
        plan->virtual_at[i] = at;
        if (g->tensor[i].is_virtual)
            at += aligned(elements(g->tensor[i]) * ex_graph_type_size(g->tensor[i].type));
    }
    plan->scratch_at = at;
    for (int i = 0; i < g->op_count; i++)
        scratch = scratch_of(*g, g->op[i]) > scratch ? scratch_of(*g, g->op[i]) : scratch;
    plan->workspace = at + aligned(scratch) + SPARE * static_cast<size_t>(index + 1);
    return EX_OK;
}

void ex_dnn_plan_destroy(ex_dnn_plan **plan)
{
    ex_free(plan);
}

ex_status ex_dnn_plan_store(const ex_dnn_plan *plan, char **text)
{
    char graph[EX_GRAPH_TEXT];
    EX_TRY(ex_library_called("ex_dnn_plan_store"));
    ex_dnn_graph_describe(&plan->graph, graph, sizeof graph);
    EX_TRY(ex_alloc(text, EX_GRAPH_TEXT + 32, 1, "library plan's text"));
    snprintf(*text, EX_GRAPH_TEXT + 32, "candidate %d of %s", plan->candidate, graph);
    return EX_OK;
}

size_t ex_dnn_plan_workspace(const ex_dnn_plan *plan)
{
    return plan->workspace;
}

ex_status ex_dnn_plan_run(const ex_dnn_plan *plan, void *const *data, void *workspace)
{
    EX_TRY(ex_library_called("ex_dnn_plan_run"));
    run r = {*plan, {}, static_cast<char *>(workspace)};
    for (int i = 0; i < plan->graph.tensor_count; i++) {
        r.data[i] = data[i];
        const bool is_virtual = plan->graph.tensor[i].is_virtual;
        if (is_virtual ? data[i] != nullptr
                       : !data[i] || reinterpret_cast<uintptr_t>(data[i]) % 16 != 0)
            return EX_FAIL(EX_ERR_INTERNAL,
                           "tensor %d of a graph lies at %p; expected memory aligned to 16 bytes, "
                           "NULL for virtual ones",
                           i, data[i]);
    }
    if (!workspace)
        return EX_FAIL(EX_ERR_INTERNAL, "a plan that needs %zu bytes of workspace has none",
                       plan->workspace);
    if (plan->candidate == broken_candidate)
        return EX_FAIL(EX_ERR_BACKEND, "candidate %d was made to fail", plan->candidate);
    ex_emulated_operands("ex_dnn_plan_run", data, (size_t)plan->graph.tensor_count);
    ex_emulated_operands("ex_dnn_plan_run", &workspace, 1);
    say_cost(plan->graph);
    ex_emulated_enqueue(plan->stream, "ex_dnn_plan_run", r);
    return EX_OK;
}

} /* extern "C" */
