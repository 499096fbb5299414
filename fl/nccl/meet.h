/* How the ranks of NCCL find each other: by small files on a disk that all see.
 *
 * Every rank leaves a card, PATH.RANK, with a number drawn for this run. Rank 0 publishes, in
 * PATH.0, the numbers that it has seen; a rank that finds its own there says so on its card, and
 * when all have, rank 0 opens the door. So what an earlier run has left cannot be mistaken for this
 * one. All have all cards then, and the files are gone. Part of the module: calls nothing of ours.
 */
#ifndef EX_MEET_H
#define EX_MEET_H

#include "comm_impl.h"

enum { EX_MEET_ID = 128, EX_MEET_TEXT = 64, EX_MEET_REASON = 160 };

typedef struct ex_meet_card {
    uint64_t number, accepted; /* drawn for this run; rank 0's, once it is known */
    char host[EX_MEET_TEXT];   /* its name */
    char boot[EX_MEET_TEXT];   /* names the machine, in containers too */
    char gpu[EX_MEET_TEXT];    /* PCI bus id; "": it has none to use, and comes to say so ... */
    char why[EX_MEET_REASON];  /* ... with the reason ... */
    int64_t status;            /* ... and this instead of EX_OK */
} ex_meet_card;

/* The rank's card but for its number. */
void ex_meet_fill(ex_meet_card *card, const char *gpu, ex_status status, const char *why);
/* cards (size): this rank's own is filled in, then all are. id (EX_MEET_ID): rank 0's goes to all.
 * EX_ERR_BACKEND with a text in error (EX_COMM_TEXT). */
ex_status ex_meet(const char *path, int rank, int size, double timeout, ex_meet_card *cards,
                  void *id, char *error);

#endif
