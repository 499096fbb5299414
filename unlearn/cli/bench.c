/* excise bench: runs the program excise-bench beside this one, as git does with its commands. */
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static ex_status run_bench(int argc, char **argv)
{
    (void)argc; /* argv ends with NULL */
    char path[PATH_MAX + 16];
    const ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (length <= 0)
        return EX_FAIL(EX_ERR_INTERNAL, "the program's own path is not to be had: %s",
                       strerror(errno));
    path[length] = '\0';
    memcpy(strrchr(path, '/') + 1, "excise-bench", sizeof "excise-bench");
    if (argv[1] && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) &&
        access(path, X_OK) != 0) {
        cli_print_help(&cli_bench);
        return EX_OK;
    }
    argv[0] = path;
    signal(SIGPIPE, SIG_DFL); /* being ignored would be inherited */
    signal(SIGXFSZ, SIG_DFL);
    execv(path, argv);
    return EX_FAIL(EX_ERR_UNSUPPORTED, "%s cannot be run: %s; build the target excise-bench", path,
                   strerror(errno));
}

const cli_command cli_bench = {
    .name = "bench",
    .summary = "run a benchmark (the program excise-bench beside this one)",
    .usage = "NAME [options]",
    .description =
        "Everything after `bench` is passed on to excise-bench; `excise bench --help` is "
        "its help.",
    .example = "  excise bench --help\n",
    .passes_on = true,
    .pass_on = run_bench,
};
