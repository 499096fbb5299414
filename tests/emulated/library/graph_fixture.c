#include "graph_fixture.h"

#include "base/rng.h"

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
