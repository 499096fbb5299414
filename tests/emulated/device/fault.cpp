/* Says what a fault at device memory was, and ends the program: SIGSEGV for wrong accesses, SIGABRT
 * for what was found otherwise. */
#include "memory.h"
#include "schedule.h"

#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <execinfo.h>
#include <unistd.h>

namespace emulated
{

namespace
{

void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
void tell(const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    const int length = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    const size_t most = sizeof text - 1;
    if (write(STDERR_FILENO, text, (size_t)length < most ? (size_t)length : most) < 0)
        abort();
}

/* Where an address lies, seen from an allocation. */
void describe(char *text, size_t size, const char *p, const allocation *a)
{
    if (!a)
        snprintf(text, size, "before the first allocation");
    else if (p < a->start)
        snprintf(text, size, "%zu bytes before the start of allocation #%u of %zu bytes",
                 (size_t)(a->start - p), a->number, a->bytes);
    else if (p >= a->start + a->bytes)
        snprintf(text, size, "%zu bytes past the end of allocation #%u of %zu bytes%s",
                 (size_t)(p - a->start) - a->bytes, a->number, a->bytes,
                 a->live ? "" : ", which is freed");
    else
        snprintf(text, size, "byte %zu of allocation #%u of %zu bytes on device %d%s",
                 (size_t)(p - a->start), a->number, a->bytes, a->device,
                 a->live ? "" : ", which is freed");
}

struct sigaction segv_before, bus_before; /* the test framework's, or a sanitizer's */

void tell_where()
{
    void *frames[32];
    backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
}

void handle(int signal, siginfo_t *info, void *)
{
    const char *const p = static_cast<const char *>(info->si_addr), *const by = schedule_running();
    if (memory_is_device(p)) {
        char where[160];
        describe(where, sizeof where, p, memory_near(p));
        tell("emulated device: %s%s access to device memory at %p, %s\n", by ? by : "host",
             by ? ":" : "", (const void *)p, where);
        tell_where();
        std::signal(signal, SIG_DFL);
    } else {
        if (by)
            tell("emulated device: %s: access at %p, which is no device's memory\n", by,
                 (const void *)p);
        sigaction(signal, signal == SIGSEGV ? &segv_before : &bus_before, nullptr);
    }
    /* and the access faults again */
}

void install(int signal, const struct sigaction &action, struct sigaction &before)
{
    struct sigaction was;
    sigaction(signal, &action, &was);
    if (was.sa_sigaction != handle)
        before = was;
}

} // namespace

/* Test frameworks install their own before each test, so this is repeated. */
void fault_handler_install()
{
    struct sigaction action = {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    install(SIGSEGV, action, segv_before);
    install(SIGBUS, action, bus_before);
}

void die(const char *format, ...)
{
    char text[400];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    tell("emulated device: %s\n", text);
    tell_where();
    std::signal(SIGABRT, SIG_DFL);
    abort();
}

} // namespace emulated
