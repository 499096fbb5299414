/* Inside of the ledger, shared by ledger.c (recording) and ledger_json.c (the file). */
#ifndef EX_LEDGER_IMPL_H
#define EX_LEDGER_IMPL_H

#include "ledger.h"

#include <pthread.h>
#include <stdbool.h>

enum { EX_LEDGER_NAME = 32, EX_LEDGER_PHASES = 16, EX_LEDGER_KINDS = 8, EX_LEDGER_OPEN = 8 };

typedef struct ex_ledger_client_row {
    double seconds;
    size_t samples, bytes_up, bytes_down;
    int client;
} ex_ledger_client_row;

typedef struct ex_ledger_kind {
    char name[EX_LEDGER_NAME];
    size_t up, down;
} ex_ledger_kind;

typedef struct ex_ledger_phase {
    char name[EX_LEDGER_NAME];
    ex_cost cost; /* wall_s without the time since the phase was opened last */
    bool has_compute, has_client, has_stored, has_peak; /* measured; otherwise null in the file */
    size_t stored_bytes, peak_memory;
    ex_ledger_kind kinds[EX_LEDGER_KINDS];
    int kind_count;
    ex_ledger_client_row *clients; /* (client_count) sorted by client */
    int client_count, client_room;
} ex_ledger_phase;

struct ex_ledger {
    pthread_mutex_t lock;
    ex_ledger_phase phases[EX_LEDGER_PHASES];
    int phase_count;
    struct {
        int phase;
        double since; /* ex_now() */
    } open[EX_LEDGER_OPEN];
    int open_count;
};

/* The caller holds the lock in all of these. NULL where the table is full; for
 * a client, where memory is out. */
ex_ledger_phase *ex_ledger_phase_find(ex_ledger *l, const char *name, bool add);
ex_ledger_kind *ex_ledger_kind_find(ex_ledger_phase *p, const char *name);
ex_ledger_client_row *ex_ledger_client_find(ex_ledger_phase *p, int client);
/* Wall time with what has passed since the phase was opened, if it is open. */
double ex_ledger_wall(const ex_ledger *l, const ex_ledger_phase *p);
void ex_ledger_clear(ex_ledger *l);

#endif
