/* The command line. Input: a byte that chooses the command, then its words, each up to a byte 0.
 * What is refused is refused as bad usage, or by the key that was set; what is taken gives a
 * configuration that comes back from being checked. */
#include "fuzz.h"

#include "cli.h"

#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 40 };

static const cli_command *const commands[] = {&cli_train,   &cli_eval,    &cli_ablate,
                                              &cli_unlearn, &cli_convert, &cli_devices};

/* argv (WORDS_MAX + 2) = the command's name and the words of `text`, whose last byte is 0. */
static int cut(char **argv, const cli_command *command, char *text, size_t size)
{
    int argc = 0;
    argv[argc++] = (char *)command->name; /* only read */
    for (char *end = text + size; text < end && argc <= WORDS_MAX; text += strlen(text) + 1)
        argv[argc++] = text;
    argv[argc] = NULL;
    return argc;
}

static void apply(const cli_args *args)
{
    ex_config c;
    ex_config_default(&c);
    for (int i = 0; i < args->setting_count; i++) {
        const ex_config before = c;
        const ex_status status =
            ex_config_set(&c, args->settings[i].assignment, args->settings[i].origin);
        fuzz_check_status(status, EX_ERR_CONFIG);
        FUZZ_CHECK(status == EX_OK || memcmp(&before, &c, sizeof c) == 0, "it changed");
    }
    fuzz_check_status(ex_config_check(&c), EX_ERR_CONFIG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cli_args args; /* large */
    if (size < 1)
        return 0;
    const cli_command *command = commands[data[0] % (sizeof commands / sizeof *commands)];
    char *argv[WORDS_MAX + 2], *text = malloc(size);
    FUZZ_CHECK(text, "memory");
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    memset(&args, 0, sizeof args);
    const int argc = cut(argv, command, text, size - 1);
    fuzz_memory_begin(((size_t)1 << 16) + 64 * size);
    const ex_status status = cli_parse(&args, command, argc, argv);
    fuzz_memory_end();
    fuzz_check_status(status, EX_ERR_USAGE);
    FUZZ_CHECK(args.setting_count >= 0 && args.setting_count <= CLI_SETTINGS_MAX, "%d settings",
               args.setting_count);
    if (status == EX_OK && !args.help) {
        FUZZ_CHECK(!args.subject == !command->takes_subject || args.resume, "no subject");
        FUZZ_CHECK(!args.target == !command->takes_target || args.resume, "no target");
        apply(&args);
    }
    free(text);
    return 0;
}
