/* mask.json, written and read. */
#include "io/file.h"
#include "model/mask.h"

#include <string.h>

static json_t *channel_list(const ex_mask *mask, int layer)
{
    const uint8_t *selected = ex_mask_layer(mask, layer);
    json_t *list = json_array();
    for (int i = 0; i < mask->model->layers[layer].channels; i++)
        if (selected[i])
            json_array_append_new(list, json_integer(i));
    return list;
}

ex_status ex_mask_write(const ex_mask *mask, const char *path)
{
    const ex_model *m = mask->model;
    json_t *layers = json_object();
    for (int i = 0; i < m->layer_count; i++)
        if (ex_mask_layer_count(mask, i))
            json_object_set_new(layers, m->layers[i].name, channel_list(mask, i));
    json_t *root =
        json_pack("{s:s, s:i, s:i, s:o}", "model", m->name, "channels_total", m->channel_count,
                  "channels_selected", mask->channel_count, "layers", layers);
    if (!root)
        return EX_FAIL(EX_ERR_MEMORY, "%s: no memory for the mask", path);
    const ex_status status = ex_json_write(path, root);
    json_decref(root);
    return status;
}

static ex_status check_model(const json_t *root, const ex_model *model, const char *path)
{
    const char *name = json_string_value(json_object_get(root, "model"));
    const json_t *total = json_object_get(root, "channels_total");
    if (!name || !json_is_integer(total))
        return EX_FAIL(EX_ERR_INPUT,
                       "%s: no mask; \"model\", \"channels_total\" and \"layers\" are "
                       "expected",
                       path);
    if (strcmp(name, model->name) != 0 || json_integer_value(total) != model->channel_count)
        return EX_FAIL(EX_ERR_INPUT,
                       "%s is a mask of %s with %lld channels; the model is %s with %d", path, name,
                       (long long)json_integer_value(total), model->name, model->channel_count);
    return EX_OK;
}

static ex_status read_layer(ex_mask *mask, const char *name, const json_t *list, const char *path)
{
    const int layer = ex_model_find_layer(mask->model, name);
    if (layer < 0)
        return EX_FAIL(EX_ERR_INPUT, "%s: %s has no layer \"%s\"", path, mask->model->name, name);
    if (!json_is_array(list))
        return EX_FAIL(EX_ERR_INPUT, "%s: %s: a list of channels is expected", path, name);
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        const json_int_t channel = json_is_integer(item) ? json_integer_value(item) : -1;
        if (channel < 0 || channel >= mask->model->layers[layer].channels)
            return EX_FAIL(EX_ERR_INPUT, "%s: %s: entry %zu is no channel; 0 to %d are expected",
                           path, name, i, mask->model->layers[layer].channels - 1);
        EX_TRY(ex_mask_select(mask, layer, (int)channel));
    }
    return EX_OK;
}

ex_status ex_mask_read(ex_mask **out, const ex_model *model, const char *path)
{
    *out = NULL;
    ex_status status;
    ex_mask *mask = NULL;
    json_t *root, *list;
    const char *name;
    EX_TRY(ex_json_read(&root, path));
    EX_TRY_GOTO(check_model(root, model, path), done);
    EX_TRY_GOTO(ex_mask_create(&mask, model), done);
    json_t *layers = json_object_get(root, "layers");
    if (!json_is_object(layers)) {
        status =
            EX_FAIL(EX_ERR_INPUT, "%s: \"layers\" with a list of channels each is expected", path);
        goto done;
    }
    json_object_foreach(layers, name, list)
    {
        EX_TRY_GOTO(read_layer(mask, name, list, path), done);
    }
    EX_TRY_GOTO(ex_mask_seal(mask), done);
    *out = mask;
    mask = NULL;
done:
    ex_mask_destroy(&mask);
    json_decref(root);
    return status;
}
