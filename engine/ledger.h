/* The cost ledger: what each phase of a run took, per phase and per client.
 *
 * Phases are opened by name ("train", "ablation", "unlearn", "evaluate"); a phase opened again adds
 * to itself, and one opened within another takes what is recorded until it ends. What is recorded
 * while none is open goes to the phase "unassigned", so that no cost is lost. Table 4 of the paper
 * is a query on it. Safe from several threads. A number that was not measured is null in the file,
 * never 0. */
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
/* name: of at most 31 bytes; at most 8 phases open at once. */
ex_status ex_ledger_begin(ex_ledger *l, const char *phase);
void ex_ledger_end(ex_ledger *l); /* also records the peak memory so far */
/* Makes room for the rows of `more` clients in the phase that was opened last: what is recorded of
 * them is then complete. EX_ERR_MEMORY. */
ex_status ex_ledger_reserve(ex_ledger *l, int more);
/* All of these add to the phase that was opened last. client -1 is the server: its samples count,
 * its seconds are no client's. */
void ex_ledger_compute(ex_ledger *l, double seconds);
void ex_ledger_client(ex_ledger *l, int client, double seconds, size_t samples);
/* A serialized message of `bytes`, header and mask included. kind: "model", "update", "mask". */
void ex_ledger_message(ex_ledger *l, const char *kind, ex_direction direction, int client,
                       size_t bytes);
/* What must be kept for the phase; it is a state, so the largest of several calls counts. */
void ex_ledger_stored(ex_ledger *l, size_t samples, size_t bytes);
void ex_ledger_round(ex_ledger *l);
/* The phase's totals so far; all zero if it was never opened. */
ex_cost ex_ledger_cost(const ex_ledger *l, const char *phase);
/* What the phase cost since ex_ledger_cost gave `before`; stored_samples is a state, and stays. */
ex_cost ex_ledger_since(const ex_ledger *l, const char *phase, ex_cost before);
/* {"schema":1,"phases":[{"name","wall_s","compute_s","client_s","samples","rounds","bytes_up",
 * "bytes_down","bytes":{KIND:{"up","down"}},"stored_samples","stored_bytes","peak_memory_bytes",
 * "joules","clients":[{"client","seconds","samples","bytes_up","bytes_down"}]}]}; a new reference.
 */
json_t *ex_ledger_json(const ex_ledger *l);
/* On resume: replaces what is recorded by what ex_ledger_json gave. No phase may be open. */
ex_status ex_ledger_restore(ex_ledger *l, const json_t *json);

#endif
