/* What rank 0 tells the other ranks, inside of fl/share*.c. A broadcast is the same call on both
 * ends, so that most functions here serve the rank that tells and those that are told. */
#ifndef EX_SHARE_IMPL_H
#define EX_SHARE_IMPL_H

#include "share.h"

typedef enum ex_order_kind {
    EX_ORDER_OPEN = 1,
    EX_ORDER_ROUND,
    EX_ORDER_WAIT, /* rank 0 lives, and works alone */
    EX_ORDER_STOP,
} ex_order_kind;

/* Sent as it lies in memory: all ranks run the same program, which OPEN makes sure of. */
typedef struct ex_order {
    int32_t kind;
    int32_t number, norm, local_epochs, send_mask; /* ROUND: as in ex_round */
    int32_t has_mask;
    int32_t with_mask, with_values, with_clients; /* ROUND: what follows, in this order ... */
    uint32_t algorithms;                          /* ... and so many bytes of JSON */
    double lr;
    uint64_t seed;    /* ROUND: of its draws, the choice of the cohort among them */
    uint64_t values;  /* ROUND: digest of the global values it starts from */
    char program[64]; /* OPEN: what must be the same; the configuration follows */
} ex_order;

ex_status ex_order_tell(ex_comm *comm, ex_order *order);
/* What rank 0 opens with, or must have opened with. */
ex_order ex_order_open(void);

/* The digest of the global values, and of the server's momentum where there is one. */
uint64_t ex_share_digest(const ex_federation *f);

/* For ranks other than 0: receives what follows the order, and does the round. EX_ERR_INTERNAL for
 * an order that cannot be, of which nothing is received; the communicator is then given up, as it is
 * where receiving fails. */
ex_status ex_share_serve_round(ex_federation *f, const ex_order *o);

/* --- what a round needs (share_send.c) ------------------------------------------------------ */

ex_status ex_share_send_values(ex_federation *f);
/* The mask of the share; on rank 0 it is there already. EX_ERR_INTERNAL for what selects no channel
 * and does not leave it out. */
ex_status ex_share_send_mask(ex_federation *f);
/* clients (num_clients): rank 0's; NULL on the others, which keep them in the share. */
ex_status ex_share_send_clients(ex_federation *f, const ex_samples *clients);
/* What is believed of what rank 0 tells. EX_ERR_INTERNAL for a client with more samples than
 * `most`, which the training set holds; *total: those of all. */
ex_status ex_share_check_counts(size_t *total, const int64_t *count, int clients, size_t most);
/* EX_ERR_INTERNAL for a sample or label that the data set does not have. */
ex_status ex_share_check_samples(const ex_samples *s, const ex_dataset *data);
/* The share's mask becomes that of `selected` (channels of the model); NULL: none. */
ex_status ex_share_copy_mask(ex_share *s, const ex_model *model, const uint8_t *selected);

/* --- algorithms (share_algorithms.c) -------------------------------------------------------- */

/* Where algorithms are timed, rank 0 does that for all, before the round: ranks that chose for
 * themselves would differ in bits. *text: the choices, NULL where the others have them. */
ex_status ex_share_choose_algorithms(ex_federation *f, const ex_round *round, char **text,
                                     size_t *bytes);
/* On the others: `bytes` of JSON that rank 0 broadcasts. */
ex_status ex_share_receive_algorithms(ex_federation *f, size_t bytes);

#endif
