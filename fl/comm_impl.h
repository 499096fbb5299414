/* Inside of communicators: the vtable, chosen by name.
 *
 * A communicator may be a module of its own, libexcise_NAME.so, which nothing but what it needs is
 * linked to: it is loaded where several processes were started. So it calls none of our functions;
 * what it has to say of an error it writes into ex_comm.error, and waiting, timeouts and statuses
 * are comm.c's. */
#ifndef EX_COMM_IMPL_H
#define EX_COMM_IMPL_H

#include "comm.h"

enum { EX_COMM_ABI = 1, EX_COMM_TEXT = 512 };

/* All give EX_OK or another status with a text in the error. */
typedef struct ex_communicator {
    int abi; /* EX_COMM_ABI */
    const char *name;
    /* Joins the other ranks, within options->timeout. error: EX_COMM_TEXT bytes.
     * EX_ERR_UNSUPPORTED: it cannot be used on this machine. */
    ex_status (*create)(ex_comm **out, const ex_comm_options *options, char *error);
    /* After abort it must not wait for other ranks. */
    void (*destroy)(ex_comm **comm);
    void (*abort)(ex_comm *comm);
    /* One operation at a time is begun, then tested until it is done; values and bytes stay
     * until then. */
    ex_status (*begin_sum)(ex_comm *comm, int64_t *values, size_t n);
    ex_status (*begin_broadcast)(ex_comm *comm, void *bytes, size_t size, int root);
    ex_status (*test)(ex_comm *comm, bool *done);
} ex_communicator;

/* What every communicator's own struct starts with. */
struct ex_comm {
    const ex_communicator *kind;
    int rank, size;
    int gpu; /* -1: none */
    double timeout;
    bool broken;
    char error[EX_COMM_TEXT];
};

extern const ex_communicator ex_communicator_local;

ex_status ex_comm_create_as(ex_comm **out, const ex_communicator *kind,
                            const ex_comm_options *options);

/* The symbol of a module, of type ex_communicator. */
#define EX_COMM_MODULE_SYMBOL "ex_communicator_module"

/* Loads libexcise_NAME.so, from beside the program or from where it was installed. It stays loaded.
 * EX_ERR_UNSUPPORTED saying why there is none. */
ex_status ex_comm_module(const ex_communicator **out, const char *name);

#endif
