/* NCCL, and the little of CUDA that fl/nccl needs, on host memory: ranks are threads.
 *
 * It holds a caller to the rules: a communicator that is still in progress takes nothing more, nor
 * does its stream; a GPU is in a communicator once; work happens when the stream is asked. The
 * first rule that is broken is kept as a violation. */
#ifndef EX_NCCL_EMULATED_H
#define EX_NCCL_EMULATED_H

enum { EX_EMULATED_GPUS = 4 };

/* Forgets communicators, counts, violations and faults. */
void ex_nccl_reset(void);
/* NULL: none. */
const char *ex_nccl_violation(void);
/* The collectives of `rank` from its `first` one (0, 1, ...) on: an error of NCCL's, or no end. */
void ex_nccl_fail(int rank, int first);
void ex_nccl_hang(int rank, int first);
/* Leaving takes for ever, as where a peer is gone. */
void ex_nccl_stay(void);
/* How many GPUs answer; EX_EMULATED_GPUS after a reset. */
void ex_nccl_set_gpus(int count);
/* Since the reset. */
int ex_nccl_inits(void);
int ex_nccl_aborts(void);
/* Communicators, streams and memory that nobody has freed. */
int ex_nccl_left(void);

#endif
