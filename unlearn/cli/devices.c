/* excise devices: what can be used here, and why not. */
#include "cli.h"
#include "cuda_driver.h"
#include "cuda_module.h"
#include "output.h"

#include "base/bytes.h"

#include <stdio.h>
#include <string.h>

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

/* The same with what the driver tells, which it does of a GPU that cannot be used too. */
static json_t *describe_gpu(int index)
{
    char name[16];
    ex_gpu gpu;
    snprintf(name, sizeof name, "cuda:%d", index);
    json_t *row = describe(name);
    if (ex_cuda_driver_gpu(&gpu, index) != EX_OK)
        return row;
    json_object_set_new(row, "gpu", json_string(gpu.name));
    json_object_set_new(row, "memory_bytes", json_integer((json_int_t)gpu.memory));
    json_object_set_new(row, "compute_capability", json_sprintf("%d.%d", gpu.major, gpu.minor));
    return row;
}

static json_t *describe_all(void)
{
    json_t *rows = json_array();
    int gpus;
    json_array_append_new(rows, describe("cpu"));
    if (ex_cuda_driver_count(&gpus) != EX_OK)
        json_array_append_new(rows, describe("cuda"));
    for (int i = 0; i < gpus; i++)
        json_array_append_new(rows, describe_gpu(i));
    return rows;
}

static json_t *driver_version(void)
{
    char text[64];
    ex_cuda_driver_version(text, sizeof text);
    return *text ? json_string(text) : json_null();
}

static json_t *make_report(void)
{
    ex_device *chosen = NULL;
    json_t *rows = describe_all();
    const bool any = ex_device_open(&chosen, &(ex_device_options){.device = "auto"}) == EX_OK;
    json_t *report = json_pack("{s:i, s:o, s:s?, s:o, s:o}", "schema", 1, "devices", rows, "auto",
                               any ? chosen->name : NULL, "driver", driver_version(), "libraries",
                               cli_libraries());
    ex_device_close(&chosen);
    return report;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void print_row(const json_t *row)
{
    const bool usable = json_is_true(json_object_get(row, "usable"));
    printf("%-9s ", text_of(row, "name"));
    if (usable)
        printf("%s; ", text_of(row, "description"));
    if (json_object_get(row, "gpu")) {
        char memory[EX_BYTES_ROOM];
        const json_t *bytes = json_object_get(row, "memory_bytes");
        printf("%s, %s, compute capability %s; ", text_of(row, "gpu"),
               ex_bytes_text(memory, (double)json_integer_value(bytes)),
               text_of(row, "compute_capability"));
    }
    if (usable)
        printf("%d lanes\n", (int)json_integer_value(json_object_get(row, "lanes")));
    else
        printf("not usable: %s\n", text_of(row, "reason"));
}

static void print_libraries(const json_t *libraries)
{
    static const char *const cuda[] = {"cuda", "cudnn", "cublaslt", "nccl", NULL};
    const char *separator = "libraries ";
    for (int i = 0; cuda[i]; i++) {
        const char *version = text_of(libraries, cuda[i]);
        if (version)
            printf("%s%s %s", separator, cuda[i], version);
        separator = version ? ", " : separator;
    }
    if (*separator == ',')
        printf("\n");
}

static void print_report(const json_t *report)
{
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(report, "devices"), i, row) print_row(row);
    if (text_of(report, "driver"))
        printf("driver    %s\n", text_of(report, "driver"));
    print_libraries(json_object_get(report, "libraries"));
    const char *chosen = text_of(report, "auto");
    printf("auto      takes %s\n", chosen ? chosen : "none");
}

static ex_status run_devices(const cli_args *args)
{
    ex_status status = EX_OK;
    json_t *report = make_report();
    if (args->json)
        status = cli_print_json(report);
    else
        print_report(report);
    json_decref(report);
    return status;
}

const cli_command cli_devices = {
    .name = "devices",
    .summary = "what can be used here, and why not",
    .usage = "[--json]",
    .description =
        "Lists the CPU and every GPU with its description, or why it cannot be used; the\n"
        "driver and the CUDA libraries, if there are any; and which device\n"
        "`--device auto` takes.",
    .example = "  excise devices --json\n",
    .run = run_devices,
};
