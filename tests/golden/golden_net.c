#include "golden_net.h"

#include "golden_formula.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Index in our flat vector (K,R,S,C for a conv weight) of element i in PyTorch's order (K,C,R,S).
 */
static size_t vector_index(const ex_tensor *t, size_t i)
{
    if (t->kind != EX_TENSOR_CONV_WEIGHT)
        return t->offset + i;
    const size_t C = (size_t)t->shape[1], RS = (size_t)(t->shape[2] * t->shape[3]);
    const size_t k = i / (C * RS), c = i / RS % C, rs = i % RS;
    return t->offset + (k * RS + rs) * C + c;
}

void ex_golden_to_torch(float *out, const ex_tensor *tensor, const float *vector)
{
    for (size_t i = 0; i < tensor->size; i++)
        out[i] = vector[vector_index(tensor, i)];
}

void ex_golden_from_torch(float *vector, const ex_tensor *tensor, const float *values)
{
    for (size_t i = 0; i < tensor->size; i++)
        vector[vector_index(tensor, i)] = values[i];
}

static void fill_start(ex_golden_net *net, const ex_tensor *t, float *values)
{
    char name[160];
    snprintf(name, sizeof name, "start/%s", t->name);
    if (ex_golden_find(net->file, name)) {
        memcpy(values, ex_golden_floats(net->file, t->size, "%s", name), t->size * sizeof *values);
        return;
    }
    const float *spread = ex_golden_floats(net->file, 2, "spread/%s", t->name);
    ex_formula_values(values, t->name, 1, t->size, spread[0], spread[1]);
    const uint32_t expected = (uint32_t)*ex_golden_ints(net->file, 1, "crc/%s", t->name);
    if (crc32(0, (const Bytef *)values, (uInt)(t->size * sizeof *values)) != expected)
        fail_msg("%s: the formula gives other values than the generator's", t->name);
}

static void fill_values(ex_golden_net *net)
{
    const ex_model *m = net->model;
    float *values = malloc(m->param_count * sizeof *values);
    assert_non_null(values);
    for (int i = 0; i < m->tensor_count; i++) {
        const ex_tensor *t = &m->tensors[i];
        fill_start(net, t, values);
        if (t->kind == EX_TENSOR_STAT) {
            ex_golden_from_torch(net->stats, t, values);
            continue;
        }
        ex_golden_from_torch(net->params, t, values);
        char name[160];
        snprintf(name, sizeof name, "velocity.%s", t->name);
        ex_formula_values(values, name, 1, t->size, 0.0f, 0.05f);
        ex_golden_from_torch(net->velocity, t, values);
    }
    free(values);
}

static void *room(size_t count, size_t size)
{
    void *p = calloc(count + 1, size);
    assert_non_null(p);
    return p;
}

void ex_golden_net_open(ex_golden_net *net, const char *file, const char *model, int channels,
                        int size)
{
    *net = (ex_golden_net){0};
    char path[512];
    snprintf(path, sizeof path, "%s/golden/%s.gold", EXCISE_TEST_DATA, file);
    assert_ok(ex_golden_read(&net->file, path));
    assert_ok(ex_model_create(
        &net->model, model,
        (ex_model_shape){
            .classes = EX_FORMULA_CLASSES, .channels = channels, .height = size, .width = size}));
    net->params = room(net->model->param_count, sizeof(float));
    net->velocity = room(net->model->param_count, sizeof(float));
    net->stats = room(net->model->stat_count, sizeof(float));
    fill_values(net);
    net->data = (ex_dataset){.name = "golden",
                             .classes = EX_FORMULA_CLASSES,
                             .channels = channels,
                             .height = size,
                             .width = size};
    const size_t floats = (size_t)channels * sizeof(float);
    memcpy(net->data.mean, ex_golden_floats(net->file, (size_t)channels, "mean"), floats);
    memcpy(net->data.std, ex_golden_floats(net->file, (size_t)channels, "std"), floats);
    const float *sgd = ex_golden_floats(net->file, 3, "sgd");
    net->sgd = (ex_sgd_coeff){.lr = sgd[0], .momentum = sgd[1], .weight_decay = sgd[2]};
}

static void drop_images(ex_golden_net *net)
{
    free(net->data.images);
    free(net->data.labels);
    ex_samples_free(&net->feed);
}

void ex_golden_net_close(ex_golden_net *net)
{
    drop_images(net);
    free(net->params);
    free(net->stats);
    free(net->velocity);
    ex_model_destroy(&net->model);
    ex_golden_close(&net->file);
}

void ex_golden_net_room(ex_golden_net *net, size_t count)
{
    ex_dataset *d = &net->data;
    drop_images(net);
    d->count = count;
    d->images = room(count, (size_t)(d->channels * d->height * d->width));
    d->labels = room(count, sizeof *d->labels);
    assert_ok(ex_samples_alloc(&net->feed, count));
    for (size_t i = 0; i < count; i++)
        net->feed.index[i] = (uint32_t)i;
}

const int32_t *ex_golden_net_images(ex_golden_net *net, const char *name)
{
    const int32_t *head = ex_golden_ints(net->file, 5, "%s/case", name);
    const size_t count = (size_t)head[0];
    ex_golden_net_room(net, count);
    ex_dataset *d = &net->data;
    ex_formula_images(d->images, (uint32_t)head[1], head[0], d->channels, d->height);
    ex_formula_labels(d->labels, (uint32_t)head[1], count);
    const uInt bytes = (uInt)(count * (size_t)(d->channels * d->height * d->width));
    if (crc32(0, d->images, bytes) != (uint32_t)head[4])
        fail_msg("%s: the formula gives other images than the generator's", name);
    const uint8_t *label = ex_golden_bytes(net->file, count, "%s/label", name);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(d->labels[i], label[i]);
        net->feed.label[i] = d->labels[i];
    }
    return head;
}
