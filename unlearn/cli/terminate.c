/* oneDNN is C++ and lets std::bad_alloc out through its C interface, where nobody can catch it: the
 * program would abort without a word of ours. The C++ runtime, which oneDNN brings along, is asked
 * to end it with one instead. What is in a checkpoint stays; a file half written is removed on
 * resume. */
#include "cli.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

typedef void (*handler)(void);

/* std::type_info: the table of its functions, then the name as the linker knows it. */
typedef struct type_info {
    const void *table;
    const char *name;
} type_info;

static type_info *(*current_exception)(void);

/* Memory may be out and locks held: only what is safe in a signal handler. */
static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return;
}

static void give_up(void)
{
    const type_info *type = current_exception ? current_exception() : NULL;
    if (type && strcmp(type->name, "St9bad_alloc") == 0) {
        say("excise: error: oneDNN ran out of memory; lower batch_size or lanes. What is complete "
            "is kept; train and unlearn go on with --resume\n");
    } else {
        say("excise: error: a library failed");
        say(type ? " with the C++ exception " : "");
        say(type ? type->name : "");
        say(". What is complete is kept; train and unlearn go on with --resume\n");
    }
    _exit(1);
}

void cli_catch_terminate(void)
{
    handler (*set_terminate)(handler);
    void *found = dlsym(RTLD_DEFAULT, "_ZSt13set_terminatePFvvE");
    memcpy(&set_terminate, &found, sizeof found);
    found = dlsym(RTLD_DEFAULT, "__cxa_current_exception_type");
    memcpy(&current_exception, &found, sizeof found);
    if (set_terminate)
        set_terminate(give_up);
}
