/* Status codes and the thread's last error message.
 *
 * Everything that can fail returns an ex_status. The function that finds the fault writes the
 * message (what was expected, what was found, what to do); those above only pass the code on. The
 * program exits with ex_status_exit_code(). */
#ifndef EX_STATUS_H
#define EX_STATUS_H

#include <stdarg.h>
#include <stddef.h>

/* X(code, exit status of the program, text) */
#define EX_STATUS_LIST(X)                                                                          \
    X(EX_OK, 0, "ok")                                                                              \
    X(EX_ERR_USAGE, 2, "bad usage")                                                                \
    X(EX_ERR_CONFIG, 2, "bad configuration")                                                       \
    X(EX_ERR_INPUT, 2, "bad input")                                                                \
    X(EX_ERR_UNSUPPORTED, 2, "unsupported")                                                        \
    X(EX_ERR_EXISTS, 2, "output exists")                                                           \
    X(EX_ERR_IO, 1, "input/output error")                                                          \
    X(EX_ERR_MEMORY, 1, "out of memory")                                                           \
    X(EX_ERR_NUMERIC, 1, "not a finite number")                                                    \
    X(EX_ERR_BACKEND, 1, "back end error")                                                         \
    X(EX_ERR_INTERNAL, 1, "internal error")                                                        \
    X(EX_ERR_INTERRUPTED, 130, "interrupted")

typedef enum ex_status {
#define X(code, exit_code, text) code,
    EX_STATUS_LIST(X)
#undef X
} ex_status;

enum {
    EX_STATUS_COUNT = 0
#define X(code, exit_code, text) +1
    EX_STATUS_LIST(X)
#undef X
};

const char *ex_status_name(ex_status s);
const char *ex_status_text(ex_status s);
int ex_status_exit_code(ex_status s);

/* Sets the thread's last message (printf style, one line, no trailing period or newline; it is made
 * printable, whatever a file or an argument has put into it) and returns `code`. `where` is
 * "file:line (expression)" or NULL. */
ex_status ex_fail_at(ex_status code, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The message set last in this thread; never NULL. */
const char *ex_error_message(void);
/* Appends to a text of `room` bytes, as far as it fits: for lists in messages. */
void ex_append(char *text, size_t room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Where in our sources it was set, for --verbose and bug reports; never NULL. */
const char *ex_error_where(void);
/* Puts "?" in place of every control character (C0, DEL, and C1 as UTF-8 has it), and of every byte
 * that is not UTF-8: text from a file must neither break a line of the log nor command a terminal,
 * and JSON takes no other. */
void ex_make_printable(char *text);

/* A last error that is kept aside: while what ends a failed work is done, which may fail itself, or
 * on its way from a worker thread to the one that reports it. */
typedef struct ex_error {
    char message[2048], where[256];
} ex_error;

/* This thread's, as it is now. */
ex_error ex_error_keep(void);
/* Makes it this thread's. */
void ex_error_restore(const ex_error *error);

/* Where a thread's last message is kept. A module that was loaded with its own copy of this code
 * (cuda_host.h) uses the program's instead of its own, so that there is one last message. */
typedef struct ex_error_home {
    void (*adopt)(const char *message, const char *where);
    const char *(*message)(void);
    const char *(*where)(void);
} ex_error_home;

const ex_error_home *ex_error_home_get(void);
/* Before any other thread runs this copy; `home` stays the caller's. */
void ex_error_home_set(const ex_error_home *home);

#define EX_STRINGIFY_(x) #x
#define EX_STRINGIFY(x)  EX_STRINGIFY_(x)
#define EX_WHERE         __FILE__ ":" EX_STRINGIFY(__LINE__)

#define EX_FAIL(code, ...) ex_fail_at((code), EX_WHERE, __VA_ARGS__)

/* Returns the status of `e` from the calling function unless it is EX_OK. */
#define EX_TRY(e)                                                                                  \
    do {                                                                                           \
        const ex_status ex_try_status_ = (e);                                                      \
        if (ex_try_status_ != EX_OK)                                                               \
            return ex_try_status_;                                                                 \
    } while (0)

/* Same, for functions with a cleanup label: needs a local `ex_status status`. */
#define EX_TRY_GOTO(e, label)                                                                      \
    do {                                                                                           \
        status = (e);                                                                              \
        if (status != EX_OK)                                                                       \
            goto label;                                                                            \
    } while (0)

/* A caller's argument that is out of range. */
#define EX_CHECK_ARG(cond, ...)                                                                    \
    do {                                                                                           \
        if (!(cond))                                                                               \
            return ex_fail_at(EX_ERR_USAGE, EX_WHERE " (" #cond ")", __VA_ARGS__);                 \
    } while (0)

#endif
