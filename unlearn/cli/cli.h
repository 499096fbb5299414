/* The program: what its subcommands share. One file per subcommand holds its option table, its
 * help and what it does; results go to stdout, log and errors to stderr. */
#ifndef EX_CLI_H
#define EX_CLI_H

#include "base/status.h"
#include "config.h"
#include "run.h"

#include <stdbool.h>
#include <stddef.h>

enum { CLI_SETTINGS_MAX = 128 };

/* A key set on the command line, by -s or by an option that stands for one. */
typedef struct cli_setting {
    char origin[32]; /* "-s", "--delta" */
    char assignment[EX_TEXT_MAX + 64];
} cli_setting;

/* The command line, parsed. */
typedef struct cli_args {
    const char *subject; /* RUN or MODEL.safetensors */
    const char *config;  /* -c */
    const char *output;  /* -o */
    const char *effects, *class_text;
    const char *algorithms; /* algorithms.json to repeat */
    const char *target;     /* OUT of convert */
    const char *profile;    /* NULL: none; "": the table alone; else also a CSV file */
    const char *from, *to, *arch, *shape, *like, *naming, *logits;
    bool resume, overwrite, train_data, dry_run;
    bool help, quiet, json, verbose;
    cli_setting settings[CLI_SETTINGS_MAX];
    int setting_count;
} cli_args;

typedef enum cli_target {
    CLI_TEXT,    /* const char * at offset */
    CLI_FLAG,    /* bool at offset */
    CLI_KEY,     /* a setting of `key` */
    CLI_SETTING, /* a setting, key=value */
} cli_target;

/* A row of an option table: serves parsing and --help alike. */
typedef struct cli_option {
    const char *name;     /* without the dashes; NULL ends the table */
    char letter;          /* 0: none */
    const char *argument; /* how --help calls it; NULL for a flag */
    cli_target target;
    size_t offset;    /* into cli_args */
    const char *key;  /* CLI_KEY: of the configuration */
    const char *help; /* NULL: the configuration's help for the key */
    bool optional;    /* the argument may be left out: "" then */
} cli_option;

typedef struct cli_command {
    const char *name, *summary;
    const char *usage;       /* what follows "excise NAME" */
    const char *description; /* paragraphs of --help */
    const char *example;
    const cli_option *options; /* its own, before the common ones */
    bool configured;           /* takes -c, -s and the options of a configuration */
    bool takes_subject;
    bool takes_target;      /* a file to write follows the subject */
    bool lists_keys;        /* --help ends with the configuration's reference */
    bool shared;            /* several processes share its work; else the first does it alone */
    bool passes_on;         /* gets the rest of the command line unparsed */
    void (*describe)(void); /* prints more of the description, from a table; may be NULL */
    ex_status (*run)(const cli_args *args);
    ex_status (*pass_on)(int argc, char **argv);
} cli_command;

#define CLI_TEXT_OPTION(member) .target = CLI_TEXT, .offset = offsetof(cli_args, member)
#define CLI_FLAG_OPTION(member) .target = CLI_FLAG, .offset = offsetof(cli_args, member)
#define CLI_KEY_OPTION(path)    .target = CLI_KEY, .key = path

extern const cli_command cli_train, cli_eval, cli_ablate, cli_unlearn, cli_devices, cli_bench,
    cli_convert;

/* argv[0] is the command's name. EX_ERR_USAGE naming what is wrong and where help is. */
ex_status cli_parse(cli_args *args, const cli_command *command, int argc, char **argv);
void cli_print_help(const cli_command *command);
/* A C++ exception that a library lets out ends the program with a message and status 1. */
void cli_catch_terminate(void);

#endif
