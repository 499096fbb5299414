#include "graph_fixture.h"

#include "base/rng.h"

#if defined(EX_TEST_MIRRORED)
#include "mirror.h"
#endif

#include <stdlib.h>

static size_t floats_of(const ex_graph_tensor *t)
{
    return (ex_graph_tensor_elements(t) * ex_graph_type_size(t->type) + 3) / 4;
}

void ex_graph_run_init(ex_graph_run *r, const ex_dnn_graph *g)
{
    bool written[EX_GRAPH_TENSORS] = {false};
    ex_rng rng = ex_rng_at((ex_rng_key){.seed = 7, .use = EX_RNG_TEST});
    *r = (ex_graph_run){.graph = g};
    for (int i = 0; i < g->op_count; i++)
        for (int o = 0; o < ex_graph_op_outputs(g->op[i].kind); o++)
            written[g->op[i].out[o]] = true;
    for (int i = 0; i < g->tensor_count; i++) {
        if (g->tensor[i].is_virtual)
            continue;
        const size_t n = floats_of(&g->tensor[i]);
        float *values = ex_guard_floats(n);
        for (size_t j = 0; j < n && !written[i]; j++)
            values[j] = 2.0f * ex_rng_uniform(&rng) - 1.0f;
        r->data[i] = values;
    }
}

#if defined(EX_TEST_MIRRORED)
static bool is_written(const ex_dnn_graph *g, int tensor)
{
    for (int i = 0; i < g->op_count; i++)
        for (int o = 0; o < ex_graph_op_outputs(g->op[i].kind); o++)
            if (g->op[i].out[o] == tensor)
                return true;
    return false;
}

static void run_on_gpu(const ex_dnn_graph *g, void *const *host, int index)
{
    mirror m = mirror_begin((ex_stream){.threads = 1});
    ex_dnn_handle *handle = NULL;
    ex_dnn_plan *plan = NULL;
    void *data[EX_GRAPH_TENSORS] = {NULL};
    ex_status status = EX_ERR_UNSUPPORTED;
    int count = 0;
    assert_ok(ex_dnn_handle_create(&handle, m.stream.queue));
    assert_ok(ex_dnn_plan_count(&count, handle, g));
    for (int i = 0; i < count && status == EX_ERR_UNSUPPORTED; i++)
        status = ex_dnn_plan_create(&plan, handle, g, (index + i) % count, NULL);
    assert_ok(status);
    const size_t bytes = ex_dnn_plan_workspace(plan);
    float *workspace = ex_guard_floats(bytes / 4 + 1);
    for (int i = 0; i < g->tensor_count; i++) {
        const size_t size =
            ex_graph_tensor_elements(&g->tensor[i]) * ex_graph_type_size(g->tensor[i].type);
        if (host[i])
            data[i] =
                is_written(g, i) ? mirror_out(&m, host[i], size) : mirror_in(&m, host[i], size);
    }
    assert_ok(ex_dnn_plan_run(plan, data, mirror_out(&m, workspace, bytes)));
    mirror_end(&m, "a graph");
    ex_guard_free(workspace);
    ex_dnn_plan_destroy(&plan);
    ex_dnn_handle_destroy(&handle);
}

/* A graph of the operation alone, and its tensors' memory. */
static ex_dnn_graph single(const ex_graph_run *r, int op, void **host)
{
    ex_dnn_graph one = {.precision = r->graph->precision, .direct = r->graph->direct};
    ex_graph_op moved = r->graph->op[op];
    const int in = ex_graph_op_inputs(moved.kind), out = ex_graph_op_outputs(moved.kind);
    for (int i = 0; i < in + out; i++) {
        int *const name = i < in ? &moved.in[i] : &moved.out[i - in];
        const ex_graph_tensor *t = &r->graph->tensor[*name];
        host[i] = r->data[*name];
        assert_non_null(host[i]);
        *name = ex_dnn_graph_tensor(&one, t->dim, t->type, false);
    }
    ex_dnn_graph_op(&one, moved);
    return one;
}

bool ex_graph_run_exists(const ex_dnn_graph *g)
{
    ex_dnn_handle *handle = NULL;
    int count = 0;
    assert_ok(ex_dnn_handle_create(&handle, NULL));
    const ex_status status = ex_dnn_plan_count(&count, handle, g);
    ex_dnn_handle_destroy(&handle);
    if (status != EX_OK)
        print_message("left out: %s\n", ex_error_message());
    return status == EX_OK;
}

void ex_graph_run_candidate(ex_graph_run *r, int index)
{
    if (ex_graph_run_exists(r->graph)) {
        run_on_gpu(r->graph, r->data, index);
        return;
    }
    for (int i = 0; i < r->graph->op_count; i++) {
        void *host[EX_GRAPH_TENSORS] = {NULL};
        const ex_dnn_graph one = single(r, i, host);
        run_on_gpu(&one, host, index);
    }
}
#else
bool ex_graph_run_exists(const ex_dnn_graph *g)
{
    (void)g;
    return true;
}

void ex_graph_run_candidate(ex_graph_run *r, int index)
{
    ex_dnn_handle *handle = NULL;
    ex_dnn_plan *plan = NULL;
    assert_ok(ex_dnn_handle_create(&handle, NULL));
    assert_ok(ex_dnn_plan_create(&plan, handle, r->graph, index, NULL));
    const size_t words = (ex_dnn_plan_workspace(plan) + 3) / 4;
    float *workspace = ex_guard_floats(words);
    assert_ok(ex_dnn_plan_run(plan, r->data, workspace));
    ex_guard_check(workspace, words);
    for (int i = 0; i < r->graph->tensor_count; i++)
        if (r->data[i])
            ex_guard_check(r->data[i], floats_of(&r->graph->tensor[i]));
    ex_guard_free(workspace);
    ex_dnn_plan_destroy(&plan);
    ex_dnn_handle_destroy(&handle);
}
#endif

void ex_graph_run_close(ex_graph_run *r)
{
    for (int i = 0; i < r->graph->tensor_count; i++)
        ex_guard_free(r->data[i]);
}

float *ex_graph_run_floats(const ex_graph_run *r, int tensor)
{
    return r->data[tensor];
}

double ex_graph_run_dot(const ex_graph_run *r, int a, int b)
{
    const float *x = r->data[a], *y = r->data[b];
    const size_t n = ex_graph_tensor_elements(&r->graph->tensor[a]);
    assert_int_equal(n, ex_graph_tensor_elements(&r->graph->tensor[b]));
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)y[i];
    return sum;
}
