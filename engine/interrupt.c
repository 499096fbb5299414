/* SIGINT and SIGTERM ask for a stop at the next safe point; they never stop anything themselves. */
#include "trainer.h"

#include <signal.h>
#include <stdatomic.h>

static atomic_bool asked;
static atomic_int holds;

static void ask(int signal_number)
{
    (void)signal_number;
    atomic_store(&asked, true);
}

void ex_interrupt_install(void)
{
    atomic_store(&asked, false);
    /* Once each: a second signal has its default effect, for whoever cannot wait. */
    struct sigaction action = {.sa_handler = ask, .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

void ex_interrupt_set(bool on)
{
    atomic_store(&asked, on);
}

bool ex_interrupted(void)
{
    return atomic_load(&asked) && atomic_load(&holds) == 0;
}

void ex_interrupt_hold(void)
{
    atomic_fetch_add(&holds, 1);
}

void ex_interrupt_release(void)
{
    atomic_fetch_sub(&holds, 1);
}
