/* excise devices: what can be used here, and why not. */
#include "cli.h"
#include "output.h"

#include <stdio.h>
#include <string.h>

static const char *const names[] = {"cpu", "cuda", NULL};

/* What opening the device tells, as a JSON object. */
static json_t *describe(const char *name)
{
    ex_device *device = NULL;
    const ex_device_options options = {.device = name};
    if (ex_device_open(&device, &options) != EX_OK)
        return json_pack("{s:s, s:b, s:n, s:n, s:s}", "name", name, "usable", 0, "description",
                         "lanes", "reason", ex_error_message());
    json_t *row =
        json_pack("{s:s, s:b, s:s, s:i, s:n}", "name", device->name, "usable", 1, "description",
                  device->description, "lanes", device->lanes_default, "reason");
    ex_device_close(&device);
    return row;
}

static void print_row(const json_t *row)
{
    const bool usable = json_is_true(json_object_get(row, "usable"));
    printf("%-8s %s", json_string_value(json_object_get(row, "name")),
           json_string_value(json_object_get(row, usable ? "description" : "reason")));
    if (usable)
        printf("; %d lanes", (int)json_integer_value(json_object_get(row, "lanes")));
    printf("\n");
}

static ex_status run_devices(const cli_args *args)
{
    json_t *rows = json_array();
    for (int i = 0; names[i]; i++)
        json_array_append_new(rows, describe(names[i]));
    ex_device *chosen = NULL;
    const ex_device_options options = {.device = "auto"};
    const bool any = ex_device_open(&chosen, &options) == EX_OK;
    json_t *report = json_pack("{s:i, s:o, s:s?}", "schema", 1, "devices", rows, "auto",
                               any ? chosen->name : NULL);
    ex_device_close(&chosen);
    ex_status status = EX_OK;
    if (args->json) {
        status = cli_print_json(report);
    } else {
        const json_t *row;
        size_t i;
        json_array_foreach(rows, i, row) print_row(row);
        printf("auto     takes %s\n",
               any ? json_string_value(json_object_get(report, "auto")) : "none");
    }
    json_decref(report);
    return status;
}

const cli_command cli_devices = {
    .name = "devices",
    .summary = "what can be used here, and why not",
    .usage = "[--json]",
    .description = "Lists every kind of device with its description, or why it cannot be used, and "
                   "which one `--device auto` takes.",
    .example = "  excise devices --json\n",
    .run = run_devices,
};
