/* excise: dispatch, version, exit status. */
#include "cli.h"
#include "output.h"
#include "ranks.h"

#include "base/log.h"
#include "cuda_module.h"
#include "io/file.h"
#include "profile.h"
#include "trainer.h"
#include "version.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const cli_command *const commands[] = {&cli_train,   &cli_eval,    &cli_ablate, &cli_unlearn,
                                              &cli_convert, &cli_devices, &cli_bench,  NULL};

static void print_usage(void)
{
    printf("excise: makes federated models forget a class, and measures what that costs\n\n"
           "Usage: excise COMMAND [options]\n\nCommands:\n");
    for (int i = 0; commands[i]; i++)
        printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    printf("\nOptions:\n"
           "  -h, --help        print this help; `excise COMMAND --help` tells more\n"
           "      --version     print the versions of excise and its libraries\n"
           "      --config-help print every key of the configuration as a Markdown table\n\n"
           "Exit status: 0 done; 1 failed while running; 2 bad usage, configuration or input, "
           "nothing\nwritten; 130 interrupted.\n");
}

static void print_version(void)
{
    printf("excise %s\n  %-10s %s\n", ex_version(), "commit",
           *ex_version_commit() ? ex_version_commit() : "not built in a checkout");
    json_t *libraries = cli_libraries();
    const bool module = ex_cuda_module_is_loaded();
    const char *name;
    json_t *version;
    json_object_foreach(libraries, name, version)
    {
        const char *missing =
            module || strcmp(name, "cuda") != 0 ? "not there" : ex_error_message();
        printf("  %-10s %s\n", name,
               json_is_string(version) ? json_string_value(version) : missing);
    }
    json_decref(libraries);
}

static const cli_command *find_command(const char *name)
{
    for (int i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static ex_status fail_unknown(const char *name)
{
    if (*name == '-')
        return EX_FAIL(EX_ERR_USAGE,
                       "unknown option %s; a command is expected, or one of --help, "
                       "--version, --config-help",
                       name);
    char known[256] = "";
    for (int i = 0; commands[i]; i++)
        ex_append(known, sizeof known, "%s%s", i ? ", " : "", commands[i]->name);
    return EX_FAIL(EX_ERR_USAGE, "unknown command \"%s\"; one of %s", name, known);
}

static bool is_in(const char *path, const char *folder)
{
    const size_t length = folder ? strlen(folder) : 0;
    return length > 0 && strncmp(path, folder, length) == 0 &&
           (path[length] == '/' || folder[length - 1] == '/');
}

/* A run that was interrupted has its profile too; one that failed has none. */
static ex_status run_profiled(const cli_command *command, const cli_args *args)
{
    if (*args->profile && !is_in(args->profile, args->output)) /* RUN is yet to be made */
        EX_TRY(cli_check_profile(args->profile));
    EX_TRY(ex_profile_begin());
    const ex_status status = command->run(args);
    if (status == EX_OK)
        return ex_profile_end(args->profile);
    const ex_error error = ex_error_keep();
    if (status == EX_ERR_INTERRUPTED && ex_profile_end(args->profile) != EX_OK)
        ex_log_warn("%s", ex_error_message());
    ex_error_restore(&error);
    return status;
}

static ex_status dispatch(int argc, char **argv, bool *verbose)
{
    if (argc < 2)
        return EX_FAIL(EX_ERR_USAGE, "a command is expected; see `excise --help`");
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_usage();
        return EX_OK;
    }
    if (strcmp(name, "--version") == 0) {
        print_version();
        return EX_OK;
    }
    if (strcmp(name, "--config-help") == 0) {
        ex_config_print_reference(stdout, true);
        return EX_OK;
    }
    const cli_command *command = find_command(name);
    if (!command)
        return fail_unknown(name);
    if (command->passes_on)
        return command->pass_on(argc - 1, argv + 1);
    static cli_args args; /* large */
    const ex_status status = cli_parse(&args, command, argc - 1, argv + 1);
    *verbose = args.verbose;
    EX_TRY(status);
    if (args.help) {
        cli_print_help(command);
        return EX_OK;
    }
    ex_ranks ranks;
    EX_TRY(ex_ranks_find(&ranks));
    const bool first = ranks.rank == 0;
    if (!first && (!command->shared || args.dry_run))
        return EX_OK;
    ex_log_set_level(args.quiet || !first ? EX_LOG_QUIET : EX_LOG_INFO);
    return args.profile && first ? run_profiled(command, &args) : command->run(&args);
}

static void print_error(ex_status status, bool verbose)
{
    const char *kind = status == EX_ERR_INTERRUPTED ? "" : "error: ";
    fprintf(stderr, "excise: %s%s\n", kind, ex_error_message());
    if (verbose)
        fprintf(stderr, "excise: %s (%s) at %s\n", ex_status_name(status), ex_status_text(status),
                ex_error_where());
}

/* A file opened later must not become stdout because that was closed; what is written to the
 * stand-in fails, so that a lost result is reported. */
static void keep_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        while (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            if (open("/dev/null", O_RDONLY) < 0)
                break;
}

int main(int argc, char **argv)
{
    keep_standard_streams();
    signal(SIGPIPE, SIG_IGN); /* a reader of the log that went away does not end a long run */
    signal(SIGXFSZ, SIG_IGN); /* a file beyond `ulimit -f` is an error like a full disk */
    ex_interrupt_install();
    ex_json_guard();
    cli_catch_terminate();
    bool verbose = false;
    ex_status status = dispatch(argc, argv, &verbose);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (status == EX_OK)
            status =
                EX_FAIL(EX_ERR_IO, "the result cannot be written to stdout: %s", strerror(errno));
    }
    if (status != EX_OK && !cli_reported())
        print_error(status, verbose);
    return ex_status_exit_code(status);
}
