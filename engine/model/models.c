/* The table of architectures. A new one is a function in families.h and a row here. */
#include "base/memory.h"
#include "model/families.h"

#include <stdio.h>
#include <string.h>

/* X(name, function, what the names and shapes of its tensors do not tell) */
#define MODEL_LIST(X)                                                                              \
    X("resnet20", ex_build_resnet20,                                                               \
      "option-A shortcuts: every second pixel, channels of zeros on both sides")                   \
    X("resnet20-projection", ex_build_resnet20_projection,                                         \
      "shortcuts of stride 2: 1x1 convolution and norm")                                           \
    X("resnet18", ex_build_resnet18, "3x3 stem of stride 1 without a pool, for small images")      \
    X("vgg11", ex_build_vgg11, "AvgPool2d(2) at the end; no dropout")                              \
    X("vgg11-head1", ex_build_vgg11_head1, "MaxPool2d(2) at the end")                              \
    X("vgg11-head3", ex_build_vgg11_head3, "MaxPool2d(2) at the end; dropout .5 in the head")      \
    X("cnn", ex_build_cnn, "no padding, MaxPool2d(2), dropout .25 and .5")

static const struct {
    const char *name;
    ex_status (*build)(ex_builder *b, ex_model_shape shape);
    const char *about;
} models[] = {
#define X(name, function, about) {name, function, about},
    MODEL_LIST(X)
#undef X
};

enum {
    MODELS = sizeof models / sizeof *models,
    CHANNELS_MAX = 4,
    SIZE_MAX_PIXELS = 4096,
    CLASSES_MAX = 65535, /* labels are 16 bits */
};

static ex_status check_shape(const char *name, ex_model_shape s)
{
    if (s.classes < 2 || s.classes > CLASSES_MAX)
        return EX_FAIL(EX_ERR_CONFIG, "%s: %d classes; 2 to %d are possible", name, s.classes,
                       CLASSES_MAX);
    if (s.channels < 1 || s.channels > CHANNELS_MAX)
        return EX_FAIL(EX_ERR_CONFIG, "%s: images of %d channels; 1 to %d are possible", name,
                       s.channels, CHANNELS_MAX);
    if (s.height < 1 || s.height > SIZE_MAX_PIXELS || s.width < 1 || s.width > SIZE_MAX_PIXELS)
        return EX_FAIL(EX_ERR_CONFIG, "%s: images of %d x %d; 1 to %d pixels a side are possible",
                       name, s.height, s.width, SIZE_MAX_PIXELS);
    return EX_OK;
}

static ex_status fail_unknown(const char *name)
{
    char known[256] = "";
    for (int i = 0; i < MODELS; i++)
        ex_append(known, sizeof known, "%s%s", i ? ", " : "", models[i].name);
    return EX_FAIL(EX_ERR_CONFIG, "model is \"%s\"; one of %s", name, known);
}

ex_status ex_model_create(ex_model **out, const char *name, ex_model_shape shape)
{
    *out = NULL;
    int row = 0;
    while (row < MODELS && strcmp(models[row].name, name) != 0)
        row++;
    if (row == MODELS)
        return fail_unknown(name);
    EX_TRY(check_shape(name, shape));
    ex_model *model;
    EX_TRY(ex_alloc(&model, 1, sizeof *model, "model description"));
    snprintf(model->name, sizeof model->name, "%s", name);
    model->classes = shape.classes;
    ex_builder builder = {.model = model};
    const ex_status status = models[row].build(&builder, shape);
    if (status != EX_OK)
        ex_model_destroy(&model);
    *out = model;
    return status;
}

void ex_model_destroy(ex_model **model)
{
    if (*model) {
        ex_free(&(*model)->nodes);
        ex_free(&(*model)->layers);
        ex_free(&(*model)->tensors);
    }
    ex_free(model);
}

const char *const *ex_model_names(void)
{
    static const char *const names[] = {
#define X(name, function, about) name,
        MODEL_LIST(X)
#undef X
            NULL,
    };
    return names;
}

const char *ex_model_about(const char *name)
{
    for (int i = 0; i < MODELS; i++)
        if (strcmp(models[i].name, name) == 0)
            return models[i].about;
    return "";
}

int ex_model_find_layer(const ex_model *model, const char *name)
{
    for (int i = 0; i < model->layer_count; i++)
        if (strcmp(model->layers[i].name, name) == 0)
            return i;
    return -1;
}

const ex_layer *ex_model_layer_of(const ex_model *model, int channel)
{
    int i = model->layer_count - 1;
    while (i > 0 && model->layers[i].first_channel > channel)
        i--;
    return &model->layers[i];
}
