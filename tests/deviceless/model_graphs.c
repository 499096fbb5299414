#include "model_graphs.h"

#include "test.h"

#include "base/memory.h"
#include "cuda/node_graph.h"

#include <string.h>

static void add(ex_model_graphs *graphs, ex_dnn_graph g)
{
    char text[EX_GRAPH_TEXT], other[EX_GRAPH_TEXT];
    ex_dnn_graph_describe(&g, text, sizeof text);
    for (int i = 0; i < graphs->count; i++) {
        ex_dnn_graph_describe(&graphs->list[i], other, sizeof other);
        if (strcmp(text, other) == 0)
            return;
    }
    assert_ok(
        ex_grow(&graphs->list, graphs->count, &graphs->room, 64, sizeof *graphs->list, "graphs"));
    graphs->list[graphs->count++] = g;
}

/* Plans that fork keep what comes before the ReLU, as float32 (correct.c). */
static void add_kept(ex_model_graphs *graphs, const ex_node *n, int batch, ex_precision precision)
{
    ex_dnn_graph g = ex_node_graph_fused(n, batch, precision, n->residual >= 0, false);
    g.tensor[EX_FUSED_Y].type = EX_GRAPH_F32;
    add(graphs, g);
}

static void add_conv(ex_model_graphs *graphs, const ex_model *model, const ex_node *n, int batch,
                     ex_precision precision)
{
    const ex_layer *l = &model->layers[n->layer];
    if (l->scale != EX_NONE) /* else bias and ReLU are fused in training too */
        add(graphs, ex_node_graph_conv(n, batch, precision, EX_GRAPH_CONV_FWD));
    add(graphs, ex_node_graph_conv(n, batch, precision, EX_GRAPH_CONV_DGRAD));
    add(graphs, ex_node_graph_conv(n, batch, precision, EX_GRAPH_CONV_WGRAD));
    add(graphs, ex_node_graph_fused(n, batch, precision, n->residual >= 0, n->relu));
    if (model->nodes[n->input].op != EX_OP_INPUT)
        add_kept(graphs, n, batch, precision);
    if (l->bias != EX_NONE && l->scale != EX_NONE)
        add(graphs, ex_node_graph_fused(n, batch, precision, false, false));
}

/* Two tensors of a node's gradient, where two nodes read it; shortcuts add to another's. */
static bool has_two_gradients(const ex_model *model, int node)
{
    int count = 0;
    for (int i = node + 1; i < model->node_count; i++)
        count += (model->nodes[i].input == node && model->nodes[i].op != EX_OP_SHORTCUT_A) +
                 (model->nodes[i].residual == node);
    return count > 1;
}

static void add_norm(ex_model_graphs *graphs, const ex_model *model, int node, int batch,
                     ex_precision precision)
{
    const ex_node *n = &model->nodes[node];
    const bool second = has_two_gradients(model, node);
    if (second && !n->relu)
        return; /* kernels of ours compute it */
    add(graphs, ex_node_graph_norm(n, batch, precision));
    add(graphs, ex_node_graph_norm_backward(n, batch, precision, second));
}

static void add_model(ex_model_graphs *graphs, const ex_model *model, int batch,
                      ex_precision precision)
{
    for (int i = 0; i < model->node_count; i++) {
        const ex_node *n = &model->nodes[i];
        if (n->op == EX_OP_CONV) {
            add_conv(graphs, model, n, batch, precision);
            if (model->layers[n->layer].scale != EX_NONE)
                add_norm(graphs, model, i, batch, precision);
        }
        if (n->op == EX_OP_MAXPOOL || n->op == EX_OP_AVGPOOL) {
            add(graphs, ex_node_graph_pool(n, batch, precision, false));
            add(graphs, ex_node_graph_pool(n, batch, precision, true));
        }
    }
}

void ex_model_graphs_init(ex_model_graphs *out, ex_model_shape shape, int batch,
                          ex_precision precision)
{
    *out = (ex_model_graphs){0};
    for (const char *const *name = ex_model_names(); *name; name++) {
        ex_model *model = NULL;
        assert_ok(ex_model_create(&model, *name, shape));
        add_model(out, model, batch, precision);
        ex_model_destroy(&model);
    }
}

void ex_model_graphs_close(ex_model_graphs *graphs)
{
    ex_free(&graphs->list);
}
