/* Recording of costs. Totals are always counted; so are clients that room was made for. What is
 * recorded of another, when no memory can be had for its row, is missing there. */
#include "ledger_impl.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/range.h"

#include <string.h>

enum { FIRST_ROOM = 16 };

static const char UNASSIGNED[] = "unassigned"; /* always has a place in the table */

ex_status ex_ledger_create(ex_ledger **out)
{
    EX_TRY(ex_alloc(out, 1, sizeof **out, "cost ledger"));
    pthread_mutex_init(&(*out)->lock, NULL);
    return EX_OK;
}

void ex_ledger_clear(ex_ledger *l)
{
    for (int i = 0; i < l->phase_count; i++)
        ex_free(&l->phases[i].clients);
    memset(l->phases, 0, sizeof l->phases);
    l->phase_count = 0;
}

void ex_ledger_destroy(ex_ledger **l)
{
    if (!*l)
        return;
    ex_ledger_clear(*l);
    pthread_mutex_destroy(&(*l)->lock);
    ex_free(l);
}

/* --- tables --------------------------------------------------------------------------------- */

ex_ledger_phase *ex_ledger_phase_find(ex_ledger *l, const char *name, bool add)
{
    for (int i = 0; i < l->phase_count; i++)
        if (strcmp(l->phases[i].name, name) == 0)
            return &l->phases[i];
    const int room = EX_LEDGER_PHASES - (strcmp(name, UNASSIGNED) != 0);
    if (!add || l->phase_count >= room || strlen(name) >= EX_LEDGER_NAME)
        return NULL;
    ex_ledger_phase *p = &l->phases[l->phase_count++];
    memcpy(p->name, name, strlen(name) + 1);
    return p;
}

ex_ledger_kind *ex_ledger_kind_find(ex_ledger_phase *p, const char *name)
{
    for (int i = 0; i < p->kind_count; i++)
        if (strcmp(p->kinds[i].name, name) == 0)
            return &p->kinds[i];
    if (p->kind_count == EX_LEDGER_KINDS || strlen(name) >= EX_LEDGER_NAME)
        return NULL;
    ex_ledger_kind *k = &p->kinds[p->kind_count++];
    memcpy(k->name, name, strlen(name) + 1);
    return k;
}

/* For more than `count` clients. */
static ex_status make_room(ex_ledger_phase *p, int count)
{
    return ex_grow(&p->clients, count, &p->client_room, FIRST_ROOM, sizeof *p->clients,
                   "ledger's clients");
}

/* Rows take the memory of the clients that were seen, whatever their numbers. */
ex_ledger_client_row *ex_ledger_client_find(ex_ledger_phase *p, int client)
{
    int low = 0, high = p->client_count; /* the row, or its place, is in low..high */
    while (low < high) {
        const int middle = low + (high - low) / 2;
        if (p->clients[middle].client < client)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < p->client_count && p->clients[low].client == client)
        return &p->clients[low];
    if (make_room(p, p->client_count) != EX_OK)
        return NULL;
    ex_ledger_client_row *row = &p->clients[low];
    memmove(row + 1, row, (size_t)(p->client_count - low) * sizeof *row);
    p->client_count++;
    *row = (ex_ledger_client_row){.client = client};
    return row;
}

double ex_ledger_wall(const ex_ledger *l, const ex_ledger_phase *p)
{
    double wall = p->cost.wall_s;
    for (int i = 0; i < l->open_count; i++)
        if (&l->phases[l->open[i].phase] == p)
            wall += ex_now() - l->open[i].since;
    return wall;
}

/* --- phases --------------------------------------------------------------------------------- */

static ex_status begin_locked(ex_ledger *l, const char *name)
{
    const ex_ledger_phase *p = ex_ledger_phase_find(l, name, true);
    if (!p || l->open_count == EX_LEDGER_OPEN)
        return EX_FAIL(EX_ERR_INTERNAL,
                       "phase \"%s\" has no place in the ledger: at most %d phases, %d open at "
                       "once, names of %d bytes",
                       name, EX_LEDGER_PHASES - 1, EX_LEDGER_OPEN, EX_LEDGER_NAME - 1);
    const int phase = (int)(p - l->phases);
    for (int i = 0; i < l->open_count; i++)
        if (l->open[i].phase == phase)
            return EX_FAIL(EX_ERR_INTERNAL, "phase \"%s\" is already open; end it first", name);
    l->open[l->open_count].phase = phase;
    l->open[l->open_count++].since = ex_now();
    return EX_OK;
}

ex_status ex_ledger_begin(ex_ledger *l, const char *phase)
{
    pthread_mutex_lock(&l->lock);
    const ex_status status = begin_locked(l, phase);
    pthread_mutex_unlock(&l->lock);
    if (status == EX_OK)
        ex_range_begin("%s", phase);
    return status;
}

void ex_ledger_end(ex_ledger *l)
{
    pthread_mutex_lock(&l->lock);
    if (l->open_count > 0) {
        ex_range_end();
        ex_ledger_phase *p = &l->phases[l->open[l->open_count - 1].phase];
        p->cost.wall_s = ex_ledger_wall(l, p);
        p->peak_memory = ex_memory_peak();
        p->has_peak = p->peak_memory > 0;
        l->open_count--;
    }
    pthread_mutex_unlock(&l->lock);
}

/* Locks, and gives the phase that costs go to. */
static ex_ledger_phase *lock_phase(ex_ledger *l)
{
    pthread_mutex_lock(&l->lock);
    return l->open_count > 0 ? &l->phases[l->open[l->open_count - 1].phase]
                             : ex_ledger_phase_find(l, UNASSIGNED, true);
}

static void unlock(ex_ledger *l)
{
    pthread_mutex_unlock(&l->lock);
}

ex_status ex_ledger_reserve(ex_ledger *l, int more)
{
    ex_ledger_phase *p = lock_phase(l);
    ex_status status = EX_OK;
    while (status == EX_OK && p->client_room < p->client_count + more)
        status = make_room(p, p->client_room);
    unlock(l);
    return status;
}

void ex_ledger_compute(ex_ledger *l, double seconds)
{
    ex_ledger_phase *p = lock_phase(l);
    p->cost.compute_s += seconds;
    p->has_compute = true;
    unlock(l);
}

void ex_ledger_client(ex_ledger *l, int client, double seconds, size_t samples)
{
    ex_ledger_phase *p = lock_phase(l);
    ex_ledger_client_row *row = NULL;
    p->cost.samples += samples;
    if (client >= 0) {
        p->cost.client_s += seconds;
        p->has_client = true;
        row = ex_ledger_client_find(p, client);
    }
    if (row) {
        row->seconds += seconds;
        row->samples += samples;
    }
    unlock(l);
}

void ex_ledger_message(ex_ledger *l, const char *kind, ex_direction direction, int client,
                       size_t bytes)
{
    const size_t up = direction == EX_UP ? bytes : 0, down = bytes - up;
    ex_ledger_phase *p = lock_phase(l);
    p->cost.bytes_up += up;
    p->cost.bytes_down += down;
    ex_ledger_kind *k = ex_ledger_kind_find(p, kind);
    if (k) {
        k->up += up;
        k->down += down;
    }
    ex_ledger_client_row *row = client >= 0 ? ex_ledger_client_find(p, client) : NULL;
    if (row) {
        row->bytes_up += up;
        row->bytes_down += down;
    }
    unlock(l);
}

void ex_ledger_stored(ex_ledger *l, size_t samples, size_t bytes)
{
    ex_ledger_phase *p = lock_phase(l);
    if (p->cost.stored_samples < samples)
        p->cost.stored_samples = samples;
    if (p->stored_bytes < bytes)
        p->stored_bytes = bytes;
    p->has_stored = true;
    unlock(l);
}

void ex_ledger_round(ex_ledger *l)
{
    lock_phase(l)->cost.rounds++;
    unlock(l);
}

ex_cost ex_ledger_cost(const ex_ledger *l, const char *phase)
{
    ex_ledger *open = (ex_ledger *)l; /* its lock is no part of what it says */
    ex_cost cost = {0};
    pthread_mutex_lock(&open->lock);
    const ex_ledger_phase *p = ex_ledger_phase_find(open, phase, false);
    if (p) {
        cost = p->cost;
        cost.wall_s = ex_ledger_wall(l, p);
    }
    pthread_mutex_unlock(&open->lock);
    return cost;
}

ex_cost ex_ledger_since(const ex_ledger *l, const char *phase, ex_cost before)
{
    ex_cost c = ex_ledger_cost(l, phase);
    c.wall_s -= before.wall_s;
    c.compute_s -= before.compute_s;
    c.client_s -= before.client_s;
    c.samples -= before.samples;
    c.bytes_up -= before.bytes_up;
    c.bytes_down -= before.bytes_down;
    c.rounds -= before.rounds;
    return c;
}
