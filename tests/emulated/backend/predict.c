#include "predict.h"

#include "test.h"

/* Launches of an operation of the kernels' table that has more than one. */
enum {
    NORM_FORWARD = 3,  /* partial statistics, their sum, the map */
    NORM_BACKWARD = 3, /* partial sums, their sum, the map */
    CORRECTION = 2,    /* planes of differences, outputs */
    ROWS = 2,          /* partial sums, their sum: of filters and of dy */
    FEW_ROWS = 4,      /* one selected filter in so many: a kernel of their own */
    CORRECTED_MIN = 4, /* input channels of a convolution that is corrected */
};

ex_predicted ex_predict_sum(ex_predicted a, ex_predicted b)
{
    return (ex_predicted){a.launches + b.launches, a.flop + b.flop, a.bytes + b.bytes};
}

ex_predicted ex_predict_times(ex_predicted a, double n)
{
    return (ex_predicted){(long)((double)a.launches * n), a.flop * n, a.bytes * n};
}

static void add(ex_predicted *p, long launches, double flop, double bytes)
{
    *p = ex_predict_sum(*p, (ex_predicted){launches, flop, bytes});
}

/* --- a node's sizes --------------------------------------------------------------------------- */

static double map(const ex_model *m, int node, int batch)
{
    const ex_node *n = &m->nodes[node];
    return 4.0 * batch * n->K * n->out_H * n->out_W;
}

static double filters(const ex_model *m, const ex_node *n)
{
    return 4.0 * (double)m->layers[n->layer].row * n->K;
}

static double flop(const ex_model *m, const ex_node *n, int batch)
{
    return 2.0 * batch * n->K * n->out_H * n->out_W * (double)m->layers[n->layer].row;
}

static bool has_norm(const ex_model *m, const ex_node *n)
{
    return n->op == EX_OP_CONV && m->layers[n->layer].scale != EX_NONE;
}

static bool has_bias(const ex_model *m, const ex_node *n)
{
    return m->layers[n->layer].bias != EX_NONE;
}

static bool flattens(const ex_node *n)
{
    return n->H * n->W != 1 && n->C != 1;
}

static bool corrects(const void *model, int node)
{
    const ex_model *m = model;
    const ex_node *n = &m->nodes[node];
    return n->op == EX_OP_CONV && n->C >= CORRECTED_MIN && m->nodes[n->input].op != EX_OP_INPUT;
}

/* --- evaluation ------------------------------------------------------------------------------- */

ex_predicted ex_predict_fold(const ex_model *m)
{
    ex_predicted p = {0};
    for (int i = 0; i < m->node_count; i++)
        if (has_norm(m, &m->nodes[i]))
            add(&p, 1, 0, 2 * filters(m, &m->nodes[i]));
    return p;
}

ex_predicted ex_predict_input(const ex_model *m, int batch)
{
    return (ex_predicted){1, 0, map(m, 0, batch) * 1.25}; /* a byte in, a float out */
}

ex_predicted ex_predict_loss(const ex_model *m, int batch)
{
    return (ex_predicted){1, 0, map(m, m->node_count - 1, batch)};
}

static ex_predicted evaluated(const ex_model *m, int node, int batch, bool kept)
{
    const ex_node *n = &m->nodes[node];
    const double in = map(m, n->input, batch), out = map(m, node, batch);
    ex_predicted p = {0};
    switch (n->op) {
    case EX_OP_CONV: {
        const bool bias = has_bias(m, n) || has_norm(m, n);
        const double residual = n->residual >= 0 ? out : 0;
        add(&p, 1, flop(m, n, batch),
            in + filters(m, n) + out + residual + (bias ? 4.0 * n->K : 0));
        if (kept && n->relu && corrects(m, node))
            add(&p, CORRECTION, 0, 2 * out);
        break;
    }
    case EX_OP_LINEAR:
        if (flattens(n))
            add(&p, 1, 0, 2 * in);
        add(&p, 1, flop(m, n, batch), in + filters(m, n) + out);
        if (n->relu)
            add(&p, 1, 0, 2 * out);
        break;
    case EX_OP_SHORTCUT_A: {
        const double read = in / (n->stride * n->stride);
        add(&p, 1, 0, read + out);
        break;
    }
    default:
        add(&p, 1, 0, in + out);
    }
    return p;
}

ex_predicted ex_predict_nodes(const ex_model *m, int batch, int first, int last, bool kept)
{
    ex_predicted p = {0};
    for (int i = first; i <= last; i++)
        p = ex_predict_sum(p, evaluated(m, i, batch, kept));
    return p;
}

ex_predicted ex_predict_fork(const ex_model *m, int layer, int images, int variants, int batch,
                             ex_predicted *own)
{
    const ex_fork f = {.layer = layer, .ablation = EX_ABLATE_FILTER};
    ex_fork_deeds d;
    *own = (ex_predicted){0};
    assert_ok(ex_fork_decide(&d, m, &f, corrects, m));
    for (int i = 0; i < d.next; i++) {
        const ex_node *n = &m->nodes[i];
        const double copies = map(m, i, images) * (1 + variants);
        if (d.deed[i] == EX_DEED_RUN) {
            *own = ex_predict_sum(*own, evaluated(m, i, batch, false));
        } else if (!ex_fork_wants(&d, i)) {
            continue;
        } else if (d.deed[i] == EX_DEED_CORRECTED) {
            const double plane = 4.0 * images * n->H * n->W, outputs = map(m, i, images) / 4;
            add(own, CORRECTION, 2 * outputs * n->R * n->S * variants,
                copies + 3 * variants * plane);
        } else {
            add(own, 1, 0, copies);
        }
    }
    const ex_predicted rest = ex_predict_nodes(m, batch, d.next, m->node_count - 1, false);
    ex_fork_deeds_free(&d);
    return ex_predict_sum(*own, rest);
}

/* --- a training step -------------------------------------------------------------------------- */

typedef struct step {
    const ex_model *m;
    const ex_mask *mask;
    int batch;
    bool frozen;
    bool wanted[512]; /* the node, or one before it, has something to train */
} step;

static int selected(const step *s, const ex_node *n)
{
    return s->mask ? ex_mask_layer_count(s->mask, n->layer) : n->K;
}

static void find_wanted(step *s)
{
    assert_true(s->m->node_count <= 512);
    for (int i = 0; i < s->m->node_count; i++) {
        const ex_node *n = &s->m->nodes[i];
        s->wanted[i] =
            n->op != EX_OP_INPUT && ((n->layer >= 0 && selected(s, n) > 0) || s->wanted[n->input] ||
                                     (n->residual >= 0 && s->wanted[n->residual]));
    }
}

static ex_predicted forward(const step *s, int node)
{
    const ex_node *n = &s->m->nodes[node];
    const double in = map(s->m, n->input, s->batch), out = map(s->m, node, s->batch);
    ex_predicted p = {0};
    if (!has_norm(s->m, n) || s->frozen) {
        p = evaluated(s->m, node, s->batch, false);
        if (n->op == EX_OP_MAXPOOL) /* which value it was */
            p.bytes += out / 4;
        if (has_norm(s->m, n) && selected(s, n) > 0) /* is folded */
            add(&p, 1, 0, 2 * filters(s->m, n) * selected(s, n) / n->K);
        return p;
    }
    add(&p, 1, flop(s->m, n, s->batch),
        in + filters(s->m, n) + out + (has_bias(s->m, n) ? 4.0 * n->K : 0));
    add(&p, NORM_FORWARD, 0, out * (3 + (n->residual >= 0 ? 1 : 0)));
    if (selected(s, n) > 0)
        add(&p, 1, 0, 0); /* running statistics */
    return p;
}

/* Gradients that a node's readers leave: maps, and those that pass a shortcut. */
static void count_readers(const step *s, int node, int *maps, int *shortcuts)
{
    *shortcuts = 0;
    *maps = node == s->m->node_count - 1;
    for (int i = node + 1; i < s->m->node_count; i++) {
        const ex_node *r = &s->m->nodes[i];
        *maps += (r->input == node && r->op != EX_OP_SHORTCUT_A) + (r->residual == node);
        *shortcuts += r->input == node && r->op == EX_OP_SHORTCUT_A;
    }
}

static void shortcut_gradients(const step *s, int node, ex_predicted *p)
{
    for (int i = node + 1; i < s->m->node_count; i++) {
        const ex_node *r = &s->m->nodes[i];
        if (r->input == node && r->op == EX_OP_SHORTCUT_A)
            add(p, 1, 0, 3 * map(s->m, node, s->batch) / (r->stride * r->stride));
    }
}

/* The sum of what the readers left, as the node's own backward pass wants it. */
static void gradient_in(const step *s, int node, ex_predicted *p)
{
    const ex_node *n = &s->m->nodes[node];
    const double out = map(s->m, node, s->batch);
    int maps, shortcuts;
    count_readers(s, node, &maps, &shortcuts);
    shortcut_gradients(s, node, p);
    if (maps > 2)
        add(p, maps - 2, 0, 3 * out * (maps - 2));
    const bool second = maps > 1, residual = n->residual >= 0;
    const bool norm = has_norm(s->m, n) && !s->frozen;
    if (norm) { /* which adds the second one and passes the ReLU itself */
        const int keep = residual || second, y = residual && n->relu;
        add(p, NORM_BACKWARD, 0, out * (2 + second + y + keep + 3));
        return;
    }
    const bool relu = n->relu && (n->op == EX_OP_CONV || n->op == EX_OP_LINEAR);
    if (relu || second)
        add(p, 1, 0, out * (2 + second + relu));
}

static void weight_gradient(const step *s, int node, ex_predicted *p)
{
    const ex_node *n = &s->m->nodes[node];
    const double in = map(s->m, n->input, s->batch), out = map(s->m, node, s->batch);
    const int rows = selected(s, n);
    const double full = flop(s->m, n, s->batch);
    const bool folded = has_norm(s->m, n) && s->frozen, sums = has_bias(s->m, n) || folded;
    if (rows == 0)
        return;
    if (folded)
        add(p, 1, 0, 3 * filters(s->m, n) * rows / n->K);
    if (n->op == EX_OP_CONV && s->mask && FEW_ROWS * rows <= n->K) {
        add(p, ROWS, full * rows / n->K, in + out * rows / n->K);
        return;
    }
    add(p, 1, full, in + out + filters(s->m, n));
    if (n->op == EX_OP_CONV && sums)
        add(p, 1, 0, out + 4.0 * n->K);
}

static ex_predicted backward(const step *s, int node)
{
    const ex_node *n = &s->m->nodes[node];
    const double in = map(s->m, n->input, s->batch), out = map(s->m, node, s->batch);
    ex_predicted p = {0};
    gradient_in(s, node, &p);
    if (n->op == EX_OP_CONV || n->op == EX_OP_LINEAR) {
        weight_gradient(s, node, &p);
        if (s->wanted[n->input])
            add(&p, 1, flop(s->m, n, s->batch), in + out + filters(s->m, n));
        if (n->op == EX_OP_LINEAR && flattens(n) && s->wanted[n->input])
            add(&p, 1, 0, 2 * in);
    } else if (n->op == EX_OP_MAXPOOL) {
        add(&p, 1, 0, in + out * 1.25);
    } else if (n->op == EX_OP_AVGPOOL) {
        add(&p, 1, 0, in + out);
    }
    return p;
}

ex_predicted ex_predict_step(const ex_model *m, int batch, const ex_mask *mask, bool frozen)
{
    enum { NEXT = 1, LOG = 1, SGD = 1 };
    step s = {.m = m, .mask = mask, .batch = batch, .frozen = frozen};
    ex_predicted p = ex_predict_input(m, batch);
    find_wanted(&s);
    for (int i = 1; i < m->node_count; i++) {
        p = ex_predict_sum(p, forward(&s, i));
        if (s.wanted[i])
            p = ex_predict_sum(p, backward(&s, i));
    }
    p = ex_predict_sum(p, ex_predict_loss(m, batch));
    p.bytes += map(m, m->node_count - 1, batch); /* the logits' gradient */
    add(&p, NEXT + LOG + SGD, 0, 0);
    return p;
}
