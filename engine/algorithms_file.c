#include "algorithms_file.h"

#include "base/log.h"
#include "io/file.h"

#include <string.h>

enum { SCHEMA = 1 };

static ex_status check_texts(json_t *algorithms, const char *path)
{
    const char *key;
    json_t *value;
    if (!json_is_object(algorithms) || json_object_size(algorithms) > EX_ALGORITHMS_MAX)
        return EX_FAIL(EX_ERR_INPUT,
                       "%s: \"algorithms\" with at most %d choices is expected; delete the file",
                       path, EX_ALGORITHMS_MAX);
    json_object_foreach(algorithms, key, value)
    {
        if (!json_is_string(value) || json_string_length(value) > EX_ALGORITHMS_TEXT_MAX)
            return EX_FAIL(EX_ERR_INPUT,
                           "%s: \"%.32s\" must be a text of at most %d bytes; delete the file",
                           path, key, EX_ALGORITHMS_TEXT_MAX);
    }
    return EX_OK;
}

static ex_status check(json_t *root, const char *path)
{
    if (!json_is_integer(json_object_get(root, "schema")) ||
        !json_is_string(json_object_get(root, "device")))
        return EX_FAIL(EX_ERR_INPUT,
                       "%s: an object with \"schema\", \"device\" and \"algorithms\" is expected; "
                       "delete the file",
                       path);
    /* Of another version nothing else is known. */
    if (json_integer_value(json_object_get(root, "schema")) != SCHEMA)
        return EX_OK;
    return check_texts(json_object_get(root, "algorithms"), path);
}

ex_status ex_algorithms_file_read(json_t **root, json_t **algorithms, const ex_device *device,
                                  const char *path)
{
    *algorithms = NULL;
    ex_status status = ex_json_read(root, path);
    if (status == EX_ERR_INPUT)
        return EX_FAIL(status, "%s; without the file the choices are timed again",
                       ex_error_message());
    EX_TRY(status);
    status = check(*root, path);
    if (status != EX_OK) {
        json_decref(*root);
        *root = NULL;
        return status;
    }
    const char *made_for = json_string_value(json_object_get(*root, "device"));
    if (json_integer_value(json_object_get(*root, "schema")) == SCHEMA &&
        strcmp(made_for, device->description) == 0)
        *algorithms = json_object_get(*root, "algorithms");
    else
        ex_log_warn("%s holds the choices of another device or library (%s; here is %s): "
                    "the choices are timed again, and results may differ in their last bits",
                    path, made_for, device->description);
    return EX_OK;
}

ex_status ex_algorithms_file_write(const ex_device *device, json_t *algorithms, const char *path)
{
    json_t *root = json_pack("{s:i, s:s, s:o}", "schema", SCHEMA, "device", device->description,
                             "algorithms", algorithms);
    const ex_status status =
        root ? ex_json_write(path, root) : EX_FAIL(EX_ERR_MEMORY, "no memory for %s", path);
    json_decref(root);
    return status;
}
