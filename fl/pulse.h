/* Rank 0's sign of life while it works alone: it evaluates, ablates, times algorithms and writes,
 * for as long as that takes, and the others wait for it no longer than the timeout. A thread of its
 * own tells them, every now and then, that it is there. It also finds a rank that is not, before
 * the work that will need it is done. */
#ifndef EX_PULSE_H
#define EX_PULSE_H

#include "comm.h"

typedef struct ex_pulse ex_pulse;

/* One sign: an operation of the communicator, which the others join. */
typedef ex_status (*ex_pulse_beat)(ex_comm *comm);

/* Starts the thread, held. It beats every `interval` seconds until it is stopped. */
ex_status ex_pulse_start(ex_pulse **out, ex_comm *comm, ex_pulse_beat beat, double interval);
/* When it returns no beat is under way, and none begins until the release: the caller has the
 * communicator to itself. The error of a beat that failed before; there are none after it. */
ex_status ex_pulse_hold(ex_pulse *pulse);
void ex_pulse_release(ex_pulse *pulse);
/* NULL-safe. The communicator stays. */
void ex_pulse_stop(ex_pulse **pulse);

#endif
