#include "output.h"

#include "comm.h"
#include "cuda_module.h"
#include "io/file.h"
#include "version.h"

#include <stdio.h>
#include <stdlib.h>

const char *cli_measured(char text[CLI_NUMBER_ROOM], double value, size_t samples)
{
    snprintf(text, CLI_NUMBER_ROOM, samples ? "%.4f" : "-", value);
    return text;
}

json_t *cli_accuracy(const ex_accuracy *a, int label)
{
    json_t *classes = json_array();
    for (int c = 0; c < a->classes; c++)
        json_array_append_new(classes, ex_json_number(ex_accuracy_class(a, c)));
    json_t *json =
        json_pack("{s:o, s:o, s:I, s:o}", "accuracy", ex_json_number(ex_accuracy_all(a)), "loss",
                  ex_json_number(a->loss), "count", (json_int_t)a->count, "per_class", classes);
    if (label >= 0 && label < a->classes) {
        json_object_set_new(json, "forget", ex_json_number(ex_accuracy_class(a, label)));
        json_object_set_new(json, "retain", ex_json_number(ex_accuracy_others(a, label)));
    }
    return json;
}

json_t *cli_libraries(void)
{
    ex_cuda_versions unused;
    char mpi[EX_COMM_VERSION_ROOM];
    ex_comm_mpi_version(mpi);
    (void)ex_cuda_module_versions(&unused); /* loads it, so that its libraries are told too */
    json_t *libraries = ex_version_libraries();
    json_object_set_new(libraries, "mpi", ex_json_word(*mpi ? mpi : NULL));
    return libraries;
}

json_t *cli_provenance(const ex_federation *f)
{
    const ex_config *c = &f->config;
    return json_pack("{s:i, s:s, s:o, s:s, s:s, s:I, s:s, s:s, s:s}", "schema", 1, "version",
                     ex_version(), "libraries", ex_version_libraries(), "model", c->model,
                     "dataset", c->dataset, "seed", (json_int_t)c->seed, "device", f->device->name,
                     "device_description", f->device->description, "precision",
                     ex_config_choice(c, "precision"));
}

json_t *cli_cost(const ex_cost *cost)
{
    return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:i}", "compute_s",
                     ex_json_number(cost->compute_s), "client_s", ex_json_number(cost->client_s),
                     "bytes_up", (json_int_t)cost->bytes_up, "bytes_down",
                     (json_int_t)cost->bytes_down, "samples", (json_int_t)cost->samples,
                     "stored_samples", (json_int_t)cost->stored_samples, "rounds", cost->rounds);
}

const char *cli_class(char text[CLI_CLASS_ROOM], const json_t *object)
{
    const char *name = json_string_value(json_object_get(object, "class_name"));
    const int label = (int)json_integer_value(json_object_get(object, "class"));
    snprintf(text, CLI_CLASS_ROOM, "%d", label);
    if (name)
        ex_append(text, CLI_CLASS_ROOM, " (%s)", name);
    return text;
}

json_t *cli_class_names(const ex_federation *f)
{
    const ex_class_names *names = &f->data->names;
    if (!names->name)
        return json_null();
    json_t *list = json_array();
    for (int k = 0; k < names->count; k++)
        json_array_append_new(list, ex_json_word(names->name[k]));
    return list;
}

ex_status cli_stopped(ex_status status, const char *resume, const char *unit, int complete)
{
    char kept[64];
    snprintf(kept, sizeof kept, "%d complete %s%s", complete, unit, complete == 1 ? "" : "s");
    if (status == EX_ERR_INTERRUPTED && complete == 0)
        return EX_FAIL(status, "interrupted before the first %s was complete; %s goes on", unit,
                       resume);
    if (status == EX_ERR_INTERRUPTED)
        return EX_FAIL(status, "interrupted; %s kept, what was begun after is lost; %s goes on",
                       kept, resume);
    if (status == EX_ERR_IO || status == EX_ERR_MEMORY || status == EX_ERR_BACKEND)
        return EX_FAIL(status, "%s; %s kept, %s then goes on", ex_error_message(), kept, resume);
    return status;
}

ex_status cli_print_json(const json_t *json)
{
    char *text;
    EX_TRY(ex_json_text(&text, json, JSON_INDENT(2), "the result"));
    printf("%s\n", text);
    free(text);
    return EX_OK;
}
