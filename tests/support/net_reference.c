#include "net_reference.h"

#include "base/memory.h"
#include "base/rng.h"
#include "model/builder.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- forward ---------------------------------------------------------------------------------- */

static const double *weight_at(const ex_net *net, const ex_layer *l, int k, int r, int s, int S,
                               int C)
{
    return net->params + l->weight + (size_t)k * l->row + (size_t)((r * S + s) * C);
}

static double conv_at(const ex_net *net, const ex_node *n, const double *in, int k, int y, int x)
{
    const ex_layer *l = &net->model->layers[n->layer];
    if (n->layer == net->layer && k == net->channel && net->ablation == EX_ABLATE_FILTER)
        return 0.0;
    double sum = l->bias == EX_NONE ? 0.0 : net->params[l->bias + (size_t)k];
    for (int r = 0; r < n->R; r++)
        for (int s = 0; s < n->S; s++) {
            const int row = y * n->stride + r - n->pad, column = x * n->stride + s - n->pad;
            if (row < 0 || column < 0 || row >= n->H || column >= n->W)
                continue;
            const double *w = weight_at(net, l, k, r, s, n->S, n->C);
            for (int c = 0; c < n->C; c++)
                sum += w[c] * in[(c * n->H + row) * n->W + column];
        }
    return sum;
}

static double pool_at(const ex_node *n, const double *in, int k, int y, int x)
{
    double sum = 0.0, largest = -INFINITY;
    for (int r = 0; r < n->R; r++)
        for (int s = 0; s < n->S; s++) {
            const double v = in[(k * n->H + y * n->stride + r) * n->W + x * n->stride + s];
            sum += v;
            largest = v > largest ? v : largest;
        }
    return n->op == EX_OP_MAXPOOL ? largest : sum / (n->R * n->S);
}

static double shortcut_at(const ex_node *n, const double *in, int k, int y, int x)
{
    const int c = k - (n->K - n->C) / 2;
    return c < 0 || c >= n->C ? 0.0 : in[(c * n->H + y * n->stride) * n->W + x * n->stride];
}

static void norm(const ex_net *net, const ex_node *n, double *out, int N)
{
    const ex_layer *l = &net->model->layers[n->layer];
    const int pixels = n->out_H * n->out_W;
    for (int k = 0; k < n->K; k++) {
        double mean = 0.0, var = 0.0;
        for (int i = 0; i < N * pixels; i++)
            mean += out[((i / pixels) * n->K + k) * pixels + i % pixels];
        mean /= N * pixels;
        for (int i = 0; i < N * pixels; i++)
            var += pow(out[((i / pixels) * n->K + k) * pixels + i % pixels] - mean, 2.0);
        var /= N * pixels;
        if (net->batch_mean) {
            net->batch_mean[l->mean + (size_t)k] = mean;
            net->batch_var[l->mean + (size_t)k] = var;
        }
        if (!net->batch_statistics) {
            mean = net->stats[l->mean + (size_t)k];
            var = net->stats[l->var + (size_t)k];
        }
        const double r = net->params[l->scale + (size_t)k] / sqrt(var + (double)EX_NORM_EPS);
        for (int i = 0; i < N * pixels; i++) {
            double *v = &out[((i / pixels) * n->K + k) * pixels + i % pixels];
            *v = (*v - mean) * r + net->params[l->shift + (size_t)k];
        }
    }
}

static double *run_node(const ex_net *net, int node, double *const *maps, int N)
{
    const ex_node *n = &net->model->nodes[node];
    const int pixels = n->out_H * n->out_W, in_size = n->C * n->H * n->W;
    const size_t size = (size_t)(N * n->K * pixels);
    double *out = malloc(size * sizeof *out);
    const double *residual = n->residual >= 0 ? maps[n->residual] : NULL;
    for (int i = 0; i < N * n->K * pixels; i++) {
        const double *in = maps[n->input] + i / (n->K * pixels) * in_size;
        const int k = i / pixels % n->K, y = i % pixels / n->out_W, x = i % n->out_W;
        if (n->op == EX_OP_CONV || n->op == EX_OP_LINEAR)
            out[i] = conv_at(net, n, in, k, y, x);
        else if (n->op == EX_OP_SHORTCUT_A)
            out[i] = shortcut_at(n, in, k, y, x);
        else
            out[i] = pool_at(n, in, k, y, x);
    }
    if (n->layer >= 0 && net->model->layers[n->layer].scale != EX_NONE)
        norm(net, n, out, N);
    for (int i = 0; i < N * n->K * pixels; i++) {
        out[i] += residual ? residual[i] : 0.0;
        if (n->relu && out[i] < 0.0)
            out[i] = 0.0;
        if (n->layer >= 0 && n->layer == net->layer && net->ablation == EX_ABLATE_ACTIVATION &&
            i / pixels % n->K == net->channel)
            out[i] = 0.0;
    }
    return out;
}

static double xent(const double *logits, int classes, int label)
{
    double largest = logits[0], sum = 0.0;
    for (int k = 1; k < classes; k++)
        largest = logits[k] > largest ? logits[k] : largest;
    for (int k = 0; k < classes; k++)
        sum += exp(logits[k] - largest);
    return log(sum) - (logits[label] - largest);
}

double ex_net_loss(const ex_net *net, const double *images, const uint16_t *label, int N,
                   double *logits)
{
    const ex_model *m = net->model;
    const size_t input = (size_t)(N * m->in_channels * m->in_height * m->in_width);
    double **maps = calloc((size_t)m->node_count, sizeof *maps);
    double loss = 0.0;
    maps[0] = malloc(input * sizeof **maps);
    memcpy(maps[0], images, input * sizeof **maps);
    for (int i = 1; i < m->node_count; i++)
        maps[i] = run_node(net, i, maps, N);
    const double *last = maps[m->node_count - 1];
    for (int i = 0; i < N; i++)
        loss += xent(last + i * m->classes, m->classes, label[i]) / N;
    if (logits)
        memcpy(logits, last, (size_t)(N * m->classes) * sizeof *logits);
    for (int i = 0; i < m->node_count; i++)
        free(maps[i]);
    free(maps);
    return loss;
}

/* --- models, images, values ------------------------------------------------------------------- */

/* A stem, a pool, a residual block that keeps the map, and one that halves it. */
static void build_residual(ex_builder *b)
{
    int x = ex_builder_input(b, 2, 8, 8);
    x = ex_builder_conv(
        b, x, "stem",
        (ex_conv_spec){.K = 16, .R = 3, .stride = 1, .pad = 1, .relu = true, .norm = "stem.bn"});
    x = ex_builder_pool(b, x, EX_OP_MAXPOOL, 2);
    int y = ex_builder_conv(
        b, x, "a1",
        (ex_conv_spec){.K = 16, .R = 3, .stride = 1, .pad = 1, .relu = true, .norm = "a1.bn"});
    x = ex_builder_conv(
        b, y, "a2",
        (ex_conv_spec){
            .K = 16, .R = 3, .stride = 1, .pad = 1, .relu = true, .residual = x, .norm = "a2.bn"});
    const int shortcut = ex_builder_shortcut(b, x, 32);
    y = ex_builder_conv(
        b, x, "b1",
        (ex_conv_spec){.K = 32, .R = 3, .stride = 2, .pad = 1, .relu = true, .norm = "b1.bn"});
    x = ex_builder_conv(b, y, "b2",
                        (ex_conv_spec){.K = 32,
                                       .R = 3,
                                       .stride = 1,
                                       .pad = 1,
                                       .relu = true,
                                       .residual = shortcut,
                                       .norm = "b2.bn"});
    x = ex_builder_global_pool(b, x);
    ex_builder_linear(b, x, "linear", 4, false);
}

/* Biases, no norms, channel counts of no block, an average pool that leaves a row over. */
static void build_plain(ex_builder *b)
{
    int x = ex_builder_input(b, 3, 7, 6);
    x = ex_builder_conv(
        b, x, "c1",
        (ex_conv_spec){.K = 6, .R = 3, .stride = 1, .pad = 1, .bias = true, .relu = true});
    int y = ex_builder_conv(
        b, x, "c2", (ex_conv_spec){.K = 6, .R = 1, .stride = 1, .bias = true, .residual = x});
    y = ex_builder_pool(b, y, EX_OP_AVGPOOL, 2);
    y = ex_builder_conv(b, y, "c3",
                        (ex_conv_spec){.K = 5, .R = 3, .stride = 1, .pad = 1, .norm = "c3.bn"});
    y = ex_builder_global_pool(b, y);
    y = ex_builder_linear(b, y, "l1", 7, true);
    ex_builder_linear(b, y, "l2", 3, false);
}

/* As vgg11: convolution, norm, ReLU and pools in a row, wide enough for Winograd. */
static void build_chain(ex_builder *b)
{
    int x = ex_builder_input(b, 1, 12, 12);
    for (int i = 0; i < 3; i++) {
        char name[8], bn[8];
        snprintf(name, sizeof name, "c%d", i);
        snprintf(bn, sizeof bn, "c%d.bn", i);
        x = ex_builder_conv(b, x, name,
                            (ex_conv_spec){.K = i ? 32 : 16,
                                           .R = 3,
                                           .stride = 1,
                                           .pad = 1,
                                           .bias = i == 1,
                                           .relu = true,
                                           .norm = bn});
        if (i != 1)
            x = ex_builder_pool(b, x, EX_OP_MAXPOOL, 2);
    }
    x = ex_builder_global_pool(b, x);
    x = ex_builder_linear(b, x, "l1", 16, true);
    ex_builder_linear(b, x, "l2", 4, false);
}

/* As resnet20-projection: a block that halves the map, its shortcut a convolution with a norm. */
static void build_projection(ex_builder *b)
{
    int x = ex_builder_input(b, 2, 8, 8);
    x = ex_builder_conv(
        b, x, "stem",
        (ex_conv_spec){.K = 16, .R = 3, .stride = 1, .pad = 1, .relu = true, .norm = "stem.bn"});
    const int y = ex_builder_conv(
        b, x, "a1",
        (ex_conv_spec){.K = 32, .R = 3, .stride = 2, .pad = 1, .relu = true, .norm = "a1.bn"});
    x = ex_builder_conv(b, x, "shortcut",
                        (ex_conv_spec){.K = 32, .R = 1, .stride = 2, .norm = "shortcut.bn"});
    x = ex_builder_conv(
        b, y, "a2",
        (ex_conv_spec){
            .K = 32, .R = 3, .stride = 1, .pad = 1, .relu = true, .residual = x, .norm = "a2.bn"});
    x = ex_builder_global_pool(b, x);
    ex_builder_linear(b, x, "linear", 4, false);
}

void ex_test_model(ex_model **out, int which)
{
    static void (*const build[EX_TEST_MODELS])(ex_builder *) = {build_residual, build_plain,
                                                                build_chain, build_projection};
    assert_ok(ex_alloc(out, 1, sizeof **out, "model"));
    ex_builder b = {.model = *out};
    build[which](&b);
    assert_ok(b.status);
    (*out)->classes = (*out)->nodes[(*out)->node_count - 1].K;
    snprintf((*out)->name, sizeof(*out)->name, "test%d", which);
}

void ex_test_images(ex_dataset *out, const ex_model *m, int count, uint64_t seed)
{
    const size_t pixels = (size_t)count * (size_t)(m->in_channels * m->in_height * m->in_width);
    ex_rng r = ex_rng_at((ex_rng_key){.seed = seed, .use = EX_RNG_TEST, .step = 1});
    *out = (ex_dataset){.name = "random",
                        .classes = m->classes,
                        .channels = m->in_channels,
                        .height = m->in_height,
                        .width = m->in_width,
                        .count = (size_t)count};
    assert_ok(ex_alloc(&out->images, pixels, 1, "images"));
    assert_ok(ex_alloc(&out->labels, out->count, sizeof *out->labels, "labels"));
    for (size_t i = 0; i < pixels; i++)
        out->images[i] = (uint8_t)ex_rng_below(&r, 256);
    for (int i = 0; i < count; i++)
        out->labels[i] = (uint16_t)(i % m->classes);
    for (int c = 0; c < EX_CHANNELS_MAX; c++) {
        out->mean[c] = 0.4f + 0.05f * (float)c;
        out->std[c] = 0.25f + 0.02f * (float)c;
    }
}

void ex_test_input(double *out, const ex_model *m, const ex_dataset *d, const uint32_t *index,
                   int N)
{
    const int pixels = m->in_height * m->in_width, image = m->in_channels * pixels;
    for (int i = 0; i < N * image; i++) {
        const int c = i % image / pixels;
        const double v =
            d->images[index[i / image] * (uint32_t)image + (uint32_t)(i % image)] / 255.0;
        out[i] = (v - (double)d->mean[c]) / (double)d->std[c];
    }
}

void ex_test_values(const ex_model *m, uint64_t seed, float *params, float *stats)
{
    ex_rng r = ex_rng_at((ex_rng_key){.seed = seed, .use = EX_RNG_TEST, .step = 2});
    ex_model_init(m, seed, params, stats);
    for (int i = 0; i < m->layer_count; i++) {
        const ex_layer *l = &m->layers[i];
        for (int k = 0; l->scale != EX_NONE && k < l->channels; k++) {
            params[l->scale + (size_t)k] = 0.5f + ex_rng_uniform(&r);
            params[l->shift + (size_t)k] = ex_rng_uniform(&r) - 0.4f;
            stats[l->mean + (size_t)k] = 0.4f * (ex_rng_uniform(&r) - 0.5f);
            stats[l->var + (size_t)k] = 0.2f + ex_rng_uniform(&r);
        }
    }
}
