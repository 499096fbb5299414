/* Option tables: parsed by getopt_long, printed by --help. */
#include "cli.h"
#include "config_fields.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { OPTIONS_MAX = 48, FIRST_LONG = 256 };

static const cli_option configured_options[] = {
    {"config", 'c', "EXP.yaml", CLI_TEXT_OPTION(config), .help = "configuration to read"},
    {"set", 's', "KEY=VALUE", .target = CLI_SETTING,
     .help = "set a key of the configuration; may be repeated"},
    {"device", 0, "DEVICE", CLI_KEY_OPTION("device")},
    {"precision", 0, "NAME", CLI_KEY_OPTION("precision")},
    {"seed", 0, "N", CLI_KEY_OPTION("seed")},
    {"threads", 0, "N", CLI_KEY_OPTION("server.threads")},
    {"lanes", 0, "N", CLI_KEY_OPTION("lanes")},
    {"memory", 0, "BYTES", CLI_KEY_OPTION("memory")},
    {"algorithms", 0, "FILE", CLI_TEXT_OPTION(algorithms),
     .help = "algorithms.json of an earlier run, to repeat its convolutions bit for bit"},
    {"profile", 0, "FILE.csv", CLI_TEXT_OPTION(profile), .optional = true,
     .help = "in the end, print to stderr what took how long, and write FILE.csv"},
    {0},
};

static const cli_option common_options[] = {
    {"json", 0, NULL, CLI_FLAG_OPTION(json), .help = "print the result as one JSON object"},
    {"quiet", 'q', NULL, CLI_FLAG_OPTION(quiet),
     .help = "no log, no progress; warnings and errors stay"},
    {"verbose", 'v', NULL, CLI_FLAG_OPTION(verbose),
     .help = "with an error, say where in the sources it arose"},
    {"help", 'h', NULL, CLI_FLAG_OPTION(help), .help = "print this help"},
    {0},
};

/* The tables of a command one behind the other. */
static int collect(const cli_command *command, const cli_option *all[OPTIONS_MAX])
{
    const cli_option *const tables[3] = {
        command->options, command->configured ? configured_options : NULL, common_options};
    int count = 0;
    for (int t = 0; t < 3; t++)
        for (const cli_option *o = tables[t]; o && o->name && count < OPTIONS_MAX; o++)
            all[count++] = o;
    return count;
}

static ex_status add_setting(cli_args *args, const char *origin, const char *key, const char *value)
{
    if (args->setting_count == CLI_SETTINGS_MAX)
        return EX_FAIL(EX_ERR_USAGE, "more than %d settings; put them into a file for -c",
                       CLI_SETTINGS_MAX);
    cli_setting *s = &args->settings[args->setting_count++];
    snprintf(s->origin, sizeof s->origin, "%s", origin);
    const int written = snprintf(s->assignment, sizeof s->assignment, "%s%s%s", key ? key : "",
                                 key ? "=" : "", value);
    if (written < 0 || (size_t)written >= sizeof s->assignment)
        return EX_FAIL(EX_ERR_USAGE, "%s: \"%.40s...\" is too long", origin, value);
    return EX_OK;
}

static ex_status apply(cli_args *args, const cli_option *option, const char *value)
{
    char origin[32];
    snprintf(origin, sizeof origin, "--%s", option->name);
    switch (option->target) {
    case CLI_TEXT:
        if (*(const char **)((char *)args + option->offset))
            return EX_FAIL(EX_ERR_USAGE, "--%s is given twice; give it once", option->name);
        *(const char **)((char *)args + option->offset) = value ? value : "";
        return EX_OK;
    case CLI_FLAG:
        *(bool *)((char *)args + option->offset) = true;
        return EX_OK;
    case CLI_KEY:
        return add_setting(args, origin, option->key, value);
    case CLI_SETTING:
        return add_setting(args, "-s", NULL, value);
    }
    return EX_FAIL(EX_ERR_INTERNAL, "option --%s has no target", option->name);
}

/* What getopt_long wants, made from the tables. `letters` has room for 2 * OPTIONS_MAX + 2. */
static void describe(const cli_option *const *all, int count, struct option *longs, char *letters)
{
    *letters++ = ':'; /* tell a missing argument from an unknown option */
    for (int i = 0; i < count; i++) {
        longs[i] = (struct option){.name = all[i]->name,
                                   .has_arg = all[i]->optional   ? optional_argument
                                              : all[i]->argument ? required_argument
                                                                 : no_argument,
                                   .val = FIRST_LONG + i};
        if (!all[i]->letter)
            continue;
        *letters++ = all[i]->letter;
        if (all[i]->argument)
            *letters++ = ':';
    }
    *letters = '\0';
    longs[count] = (struct option){0};
}

static int find_letter(const cli_option *const *all, int count, int letter)
{
    for (int i = 0; i < count; i++)
        if (all[i]->letter == letter)
            return i;
    return -1;
}

/* Whether the word is one of the command's options: "-q", "--json", "--seed=3". */
static bool is_option(const cli_option *const *all, int count, const char *word)
{
    if (word[0] != '-' || word[1] == '\0')
        return false;
    if (word[1] != '-')
        return word[2] == '\0' && find_letter(all, count, word[1]) >= 0;
    const size_t length = strcspn(word + 2, "=");
    for (int i = 0; i < count; i++)
        if (strlen(all[i]->name) == length && strncmp(all[i]->name, word + 2, length) == 0)
            return true;
    return false;
}

/* A value that stands apart and is itself an option: it was forgotten, and the option would be
 * lost.
 */
static ex_status check_value(const cli_option *const *all, int count, const cli_option *option,
                             const char *word)
{
    if (!optarg || optarg != word || !is_option(all, count, word))
        return EX_OK;
    return EX_FAIL(EX_ERR_USAGE,
                   "--%s needs a value (%s), but %s follows, which is an option; if it is meant, "
                   "write --%s=%s",
                   option->name, option->argument, word, option->name, word);
}

static ex_status take_subject(cli_args *args, const cli_command *command, int count, char **words)
{
    const int wanted = command->takes_subject + command->takes_target;
    const bool profile_apart = args->profile && !*args->profile;
    if (count > wanted)
        return EX_FAIL(EX_ERR_USAGE, "\"%s\" is one argument too many; see `excise %s --help`%s%s",
                       words[wanted], command->name,
                       profile_apart ? "; a file for --profile is joined to it: --profile=" : "",
                       profile_apart ? words[wanted] : "");
    if (count == 1 && wanted == 2)
        return EX_FAIL(EX_ERR_USAGE, "a file to write is expected after %s; see `excise %s --help`",
                       words[0], command->name);
    if (count < wanted && !args->resume) /* a run that goes on knows its model */
        return EX_FAIL(EX_ERR_USAGE,
                       "a run folder or a model file is expected; see `excise %s "
                       "--help`",
                       command->name);
    args->subject = count > 0 ? words[0] : NULL;
    args->target = count > 1 ? words[1] : NULL;
    return EX_OK;
}

ex_status cli_parse(cli_args *args, const cli_command *command, int argc, char **argv)
{
    const cli_option *all[OPTIONS_MAX];
    struct option longs[OPTIONS_MAX + 1];
    char letters[2 * OPTIONS_MAX + 2];
    const int count = collect(command, all);
    describe(all, count, longs, letters);
    opterr = 0;
    optind = 0; /* forgets an earlier command line, which may have ended within a word */
    for (int code; (code = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
        const char *word = argv[optind - 1];
        if (code == ':')
            return EX_FAIL(EX_ERR_USAGE, "%s needs a value; see `excise %s --help`", word,
                           command->name);
        if (code == '?' && optopt >= FIRST_LONG)
            return EX_FAIL(EX_ERR_USAGE, "--%s takes no value", all[optopt - FIRST_LONG]->name);
        if (code == '?' && optopt != 0)
            return EX_FAIL(EX_ERR_USAGE, "unknown option -%c; see `excise %s --help`", optopt,
                           command->name);
        if (code == '?')
            return EX_FAIL(EX_ERR_USAGE, "unknown or ambiguous option %s; see `excise %s --help`",
                           word, command->name);
        const int i = code >= FIRST_LONG ? code - FIRST_LONG : find_letter(all, count, code);
        EX_TRY(check_value(all, count, all[i], word));
        EX_TRY(apply(args, all[i], optarg));
    }
    if (args->resume && args->overwrite)
        return EX_FAIL(EX_ERR_USAGE, "--resume goes on with what --overwrite removes; give one");
    return args->help ? EX_OK : take_subject(args, command, argc - optind, argv + optind);
}

static void print_option(const cli_option *o)
{
    char left[64], accepts[512] = "";
    snprintf(left, sizeof left, "%c%c%c --%s%s%s%s", o->letter ? '-' : ' ',
             o->letter ? o->letter : ' ', o->letter ? ',' : ' ', o->name,
             o->optional   ? "[="
             : o->argument ? " "
                           : "",
             o->argument ? o->argument : "", o->optional ? "]" : "");
    const ex_field *field = o->key ? ex_field_find(o->key) : NULL;
    const char *help = o->help ? o->help : field ? field->help : "";
    printf("  %-26s%s%s\n", left, strlen(left) > 25 ? "\n                            " : "", help);
    if (!field)
        return;
    ex_field_accepts(field, accepts, sizeof accepts);
    printf("  %26s(key %s; %s)\n", "", field->key, accepts);
}

void cli_print_help(const cli_command *command)
{
    printf("excise %s: %s\n\nUsage: excise %s %s\n\n%s\n", command->name, command->summary,
           command->name, command->usage, command->description);
    if (command->describe)
        command->describe();
    if (!command->passes_on) {
        const cli_option *all[OPTIONS_MAX];
        const int count = collect(command, all);
        printf("\nOptions:\n");
        for (int i = 0; i < count; i++)
            print_option(all[i]);
    }
    printf("\nExample:\n%s", command->example);
    if (command->lists_keys) {
        printf("\nKeys of the configuration (in YAML, a dot is a nested map):\n");
        ex_config_print_reference(stdout, false);
    } else if (command->configured) {
        printf("\n`excise train --help` lists the keys of the configuration.\n");
    }
}
