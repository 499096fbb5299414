/* The cost ledger: what each phase of a run took, per phase and per client.
 *
 * Phases are opened by name ("train", "ablation", "unlearn", "evaluate"); a phase opened again adds
 * to itself. Table 4 of the paper is a query on it. Safe from several threads. A number that was not
 * measured is null in the file, never 0. */
#ifndef EX_LEDGER_H
#define EX_LEDGER_H

#include "base/status.h"

#include <jansson.h>
#include <stddef.h>

typedef struct ex_ledger ex_ledger;

typedef enum ex_direction { EX_UP, EX_DOWN } ex_direction; /* client to server; server to client */

typedef struct ex_cost {
    double wall_s;    /* between begin and end */
    double compute_s; /* wall time of computing in it: no evaluation, ablation or I/O */
    double client_s;  /* sum over the clients */
    size_t samples;   /* image passes trained */
    size_t bytes_up, bytes_down;
    size_t stored_samples; /* distinct samples that must be kept for the phase */
    int rounds;
} ex_cost;

ex_status ex_ledger_create(ex_ledger **out);
void ex_ledger_destroy(ex_ledger **l);
ex_status ex_ledger_begin(ex_ledger *l, const char *phase);
void ex_ledger_end(ex_ledger *l); /* also records the peak memory so far */
/* All of these add to the phase that is open. */
void ex_ledger_compute(ex_ledger *l, double seconds);
void ex_ledger_client(ex_ledger *l, int client, double seconds, size_t samples);
/* A serialized message of `bytes`, header and mask included. kind: "model", "update", "mask". */
void ex_ledger_message(ex_ledger *l, const char *kind, ex_direction direction, int client,
                       size_t bytes);
void ex_ledger_stored(ex_ledger *l, size_t samples, size_t bytes);
void ex_ledger_round(ex_ledger *l);
/* The phase's totals; all zero if it was never opened. */
ex_cost ex_ledger_cost(const ex_ledger *l, const char *phase);
json_t *ex_ledger_json(const ex_ledger *l); /* a new reference */
ex_status ex_ledger_restore(ex_ledger *l, const json_t *json); /* on resume */

#endif
