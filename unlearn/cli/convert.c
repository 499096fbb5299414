/* excise convert: model files between the names of PyTorch models and our own. */
#include "cli.h"
#include "output.h"
#include "subject.h"

#include "io/convert.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* "3x32x32" or "32x32". */
static ex_status parse_shape(ex_model_shape *out, const char *text)
{
    int n[3], end = 0;
    *out = (ex_model_shape){0};
    const bool digits = text[strspn(text, "0123456789x")] == '\0' && strlen(text) < 16;
    if (digits && sscanf(text, "%4dx%4dx%4d%n", &n[0], &n[1], &n[2], &end) == 3 && !text[end])
        *out = (ex_model_shape){.channels = n[0], .height = n[1], .width = n[2]};
    else if (digits && sscanf(text, "%4dx%4d%n", &n[1], &n[2], &end) == 2 && !text[end])
        *out = (ex_model_shape){.height = n[1], .width = n[2]};
    if (out->height < 1 || out->width < 1)
        return EX_FAIL(
            EX_ERR_USAGE,
            "--shape is \"%s\"; CxHxW or HxW of the images is expected, such as 3x32x32, "
            "each from 1 to 9999",
            text);
    return EX_OK;
}

static ex_status check_args(const cli_args *args)
{
    if (!args->from == !args->to)
        return EX_FAIL(EX_ERR_USAGE, "--from pytorch or --to pytorch is expected");
    if (strcmp(args->from ? args->from : args->to, "pytorch") != 0)
        return EX_FAIL(EX_ERR_USAGE, "--%s is \"%s\"; pytorch is expected",
                       args->from ? "from" : "to", args->from ? args->from : args->to);
    if (args->from && (args->like || args->naming))
        return EX_FAIL(EX_ERR_USAGE, "--%s goes with --to pytorch; names in a file are found out",
                       args->like ? "like" : "naming");
    if (args->to && !args->like == !args->naming)
        return EX_FAIL(EX_ERR_USAGE,
                       "--to pytorch needs --like ORIGINAL.safetensors or --naming NAME, to know "
                       "the names to write");
    return cli_check_target(args->target, args->overwrite);
}

/* The names to write: those of --like, or of --naming. */
static ex_status find_names(ex_file_names *names, const cli_args *args, const ex_model *model)
{
    *names = (ex_file_names){0};
    if (args->like)
        return ex_convert_names(names, args->like, model);
    names->naming = ex_naming_find(args->naming);
    if (names->naming)
        return EX_OK;
    char known[256] = "";
    for (const ex_naming *n = ex_namings(); n->name; n++)
        ex_append(known, sizeof known, "%s%s", n == ex_namings() ? "" : ", ", n->name);
    return EX_FAIL(EX_ERR_USAGE, "--naming is \"%s\"; one of %s", args->naming, known);
}

static ex_status print_result(const cli_args *args, const ex_converted *c, const ex_file_names *to)
{
    const ex_model *m = c->model;
    const char *written = to ? to->naming->name : "excise";
    bool sized;
    EX_TRY(ex_convert_sized(&sized, m->name,
                            (ex_model_shape){.classes = m->classes, .channels = m->in_channels}));
    if (args->json) {
        json_t *report =
            json_pack("{s:i, s:s, s:s, s:i, s:i, s:o, s:o, s:i, s:s, s:s, s:s, s:s}", "schema", 1,
                      "command", "convert", "model", m->name, "classes", m->classes, "channels",
                      m->in_channels, "height", sized ? json_integer(m->in_height) : json_null(),
                      "width", sized ? json_integer(m->in_width) : json_null(), "tensors",
                      m->tensor_count, "naming", c->names.naming->name, "prefix", c->names.prefix,
                      "written", written, "assumes", ex_model_about(m->name));
        const ex_status status = cli_print_json(report);
        json_decref(report);
        return status;
    }
    printf("%s with %d classes and %d input channels: %d tensors\n", m->name, m->classes,
           m->in_channels, m->tensor_count);
    if (sized)
        printf("images          %d x %d, which its tensors depend on\n", m->in_height, m->in_width);
    printf("names           %s%s%s -> %s%s%s\n", c->names.naming->name,
           c->names.prefix[0] ? " after " : "", c->names.prefix, written,
           to && to->prefix[0] ? " after " : "", to ? to->prefix : "");
    printf("not in a file   %s: the same logits only if that holds\n", ex_model_about(m->name));
    return EX_OK;
}

static ex_status run_convert(const cli_args *args)
{
    ex_subject s;
    ex_model_shape images;
    ex_converted c = {0};
    ex_file_names to;
    ex_status status;
    EX_TRY(check_args(args));
    EX_TRY(ex_subject_find(&s, args->subject));
    if (args->shape)
        EX_TRY(parse_shape(&images, args->shape));
    EX_TRY(ex_convert_read(&c, s.model, args->arch, args->shape ? &images : NULL));
    if (args->to)
        EX_TRY_GOTO(find_names(&to, args, c.model), done);
    EX_TRY_GOTO(ex_convert_write(&c, args->target, args->to ? &to : NULL), done);
    status = print_result(args, &c, args->to ? &to : NULL);
done:
    ex_convert_close(&c);
    return status;
}

static void describe(void)
{
    printf("\nArchitectures, and what a file of tensors cannot tell of them:\n");
    for (const char *const *name = ex_model_names(); *name; name++)
        printf("  %-20s %s\n", *name, ex_model_about(*name));
    printf("\nNamings:\n");
    for (const ex_naming *n = ex_namings(); n->name; n++)
        printf("  %-20s %s\n", n->name, n->about);
}

static const cli_option options[] = {
    {"from", 0, "pytorch", CLI_TEXT_OPTION(from), .help = "read a PyTorch model's names"},
    {"to", 0, "pytorch", CLI_TEXT_OPTION(to), .help = "write a PyTorch model's names"},
    {"arch", 0, "NAME", CLI_TEXT_OPTION(arch),
     .help = "architecture of IN; default: the one whose tensors it holds"},
    {"shape", 0, "CxHxW", CLI_TEXT_OPTION(shape),
     .help = "images that IN takes (3x32x32); default: as it tells, else a usual size that fits"},
    {"like", 0, "FILE", CLI_TEXT_OPTION(like), .help = "with --to: names as in this file"},
    {"naming", 0, "NAME", CLI_TEXT_OPTION(naming), .help = "with --to: names of this naming"},
    {"overwrite", 0, NULL, CLI_FLAG_OPTION(overwrite), .help = "replace OUT"},
    {0},
};

const cli_command cli_convert = {
    .name = "convert",
    .summary = "model files between PyTorch's names and excise's",
    .usage = "IN OUT.safetensors --from pytorch | --to pytorch [options]",
    .description =
        "Reads a .safetensors file (IN; also a run folder) under any known naming and writes OUT\n"
        "under another. Values stay bit for bit. Tensors that are missing, match nothing or have\n"
        "another shape are refused by name.",
    .example = "  excise convert mine.safetensors model.safetensors --from pytorch\n"
               "  excise convert runs/ce back.safetensors --to pytorch --like mine.safetensors\n",
    .options = options,
    .takes_subject = true,
    .takes_target = true,
    .describe = describe,
    .run = run_convert,
};
