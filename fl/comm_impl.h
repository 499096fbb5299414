/* Inside of communicators: the vtable, chosen by name.
 *
 * A communicator may be a module of its own, libexcise_NAME.so, which nothing but what it needs is
 * linked to: it is loaded where several processes were started. So it calls none of our functions;
 * what it has to say of an error it writes into ex_comm.error, and waiting, timeouts and statuses
 * are comm.c's. */
#ifndef EX_COMM_IMPL_H
#define EX_COMM_IMPL_H

#include "comm.h"

enum { EX_COMM_ABI = 2, EX_COMM_TEXT = 512 };

/* All give EX_OK or another status with a text in the error. */
typedef struct ex_communicator {
    int abi; /* EX_COMM_ABI */
    const char *name;
    size_t size; /* of its own struct, which starts with ex_comm */
    /* Whether this rank could take it, found out alone; error: EX_COMM_TEXT bytes. NULL: it can. */
    ex_status (*usable)(const ex_comm_options *options, char *error);
    /* Joins the other ranks, within options->timeout. comm: `size` bytes, zero but for the base,
     * and its gpu to be set. EX_ERR_UNSUPPORTED: it cannot be used on this machine. After an error
     * nothing is left of it. NULL: there is nothing to join. */
    ex_status (*join)(ex_comm *comm, const ex_comm_options *options);
    /* Gives back what join took. After abort it must not wait for other ranks. NULL: nothing. */
    void (*leave)(ex_comm *comm);
    void (*abort)(ex_comm *comm);
    /* One operation at a time is begun, then tested until it is done; values and bytes stay
     * until then. */
    ex_status (*begin_sum)(ex_comm *comm, int64_t *values, size_t n);
    ex_status (*begin_broadcast)(ex_comm *comm, void *bytes, size_t size, int root);
    ex_status (*test)(ex_comm *comm, bool *done);
} ex_communicator;

/* What every communicator's own struct starts with; comm_choice.c makes it. */
struct ex_comm {
    const ex_communicator *kind;
    int rank, size;
    int gpu;        /* -1: none */
    double timeout; /* seconds */
    bool broken;
    char error[EX_COMM_TEXT];
};

extern const ex_communicator ex_communicator_local;

ex_status ex_comm_create_as(ex_comm **out, const ex_communicator *kind,
                            const ex_comm_options *options);

/* Whether all ranks of `comm` could take NCCL; `mine`, and the message where that is not EX_OK, are
 * this rank's. All ranks get EX_ERR_UNSUPPORTED with the first's reason if none could, and
 * EX_ERR_CONFIG naming two of them where they differ. */
ex_status ex_comm_ask_nccl(ex_comm *comm, ex_status mine);

/* The symbol of a module, of type ex_communicator. */
#define EX_COMM_MODULE_SYMBOL "ex_communicator_module"

/* Loads libexcise_NAME.so, from beside the program or from where it was installed. It stays loaded.
 * EX_ERR_UNSUPPORTED saying why there is none. */
ex_status ex_comm_module(const ex_communicator **out, const char *name);

#endif
