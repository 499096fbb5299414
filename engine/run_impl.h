/* What run.c and run_checkpoint.c share. */
#ifndef EX_RUN_IMPL_H
#define EX_RUN_IMPL_H

#include "run.h"

#include <limits.h>
#include <stdio.h>

struct ex_run {
    char path[PATH_MAX];
    bool made;     /* ex_run_open made the folder */
    int lock;      /* the folder, opened and locked; the lock ends with the process */
    FILE *metrics; /* opened by the first line */
};

/* Complete rounds of the checkpoints in the folder, newest first, at most `room`; how many there
 * are is returned. */
int ex_run_checkpoints(const char *path, long *rounds, int room);
/* Removes all but the `keep` newest, and whatever an interrupted write left. */
void ex_run_prune_checkpoints(const char *path, int keep);

#endif
