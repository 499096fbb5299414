/* The ledger as JSON and back. */
#include "ledger_impl.h"

#include "base/rng.h"

#include <string.h>

static json_t *real_or_null(bool measured, double value)
{
    return measured ? json_real(value) : json_null();
}

static json_t *count_or_null(bool measured, size_t value)
{
    return measured ? json_integer((json_int_t)value) : json_null();
}

static json_t *kinds_json(const ex_ledger_phase *p)
{
    json_t *kinds = json_object();
    for (int i = 0; i < p->kind_count; i++)
        json_object_set_new(kinds, p->kinds[i].name,
                            json_pack("{s:I,s:I}", "up", (json_int_t)p->kinds[i].up, "down",
                                      (json_int_t)p->kinds[i].down));
    return kinds;
}

static json_t *clients_json(const ex_ledger_phase *p)
{
    json_t *clients = json_array();
    for (int i = 0; i < p->client_count; i++) {
        const ex_ledger_client_row *c = &p->clients[i];
        json_array_append_new(
            clients, json_pack("{s:i,s:f,s:I,s:I,s:I}", "client", c->client, "seconds", c->seconds,
                               "samples", (json_int_t)c->samples, "bytes_up",
                               (json_int_t)c->bytes_up, "bytes_down", (json_int_t)c->bytes_down));
    }
    return clients;
}

static json_t *phase_json(const ex_ledger *l, const ex_ledger_phase *p)
{
    const ex_cost *c = &p->cost;
    return json_pack(
        "{s:s,s:f,s:o,s:o,s:I,s:i,s:I,s:I,s:o,s:o,s:o,s:o,s:n,s:o}", "name", p->name, "wall_s",
        ex_ledger_wall(l, p), "compute_s", real_or_null(p->has_compute, c->compute_s), "client_s",
        real_or_null(p->has_client, c->client_s), "samples", (json_int_t)c->samples, "rounds",
        c->rounds, "bytes_up", (json_int_t)c->bytes_up, "bytes_down", (json_int_t)c->bytes_down,
        "bytes", kinds_json(p), "stored_samples", count_or_null(p->has_stored, c->stored_samples),
        "stored_bytes", count_or_null(p->has_stored, p->stored_bytes), "peak_memory_bytes",
        count_or_null(p->has_peak, p->peak_memory), "joules", "clients", clients_json(p));
}

json_t *ex_ledger_json(const ex_ledger *l)
{
    ex_ledger *open = (ex_ledger *)l; /* its lock is no part of what it says */
    json_t *phases = json_array();
    pthread_mutex_lock(&open->lock);
    for (int i = 0; i < l->phase_count; i++)
        json_array_append_new(phases, phase_json(l, &l->phases[i]));
    pthread_mutex_unlock(&open->lock);
    return json_pack("{s:i,s:o}", "schema", 1, "phases", phases);
}

/* --- reading -------------------------------------------------------------------------------- */

/* The value of a key that must be a number that is not negative, or null where *measured is asked
 * for. A bad value clears *good. */
static double number(const json_t *object, const char *key, bool *measured, bool *good)
{
    const json_t *value = json_object_get(object, key);
    if (measured) {
        *measured = !json_is_null(value);
        if (value && !*measured)
            return 0.0;
    }
    if (!json_is_number(value) || json_number_value(value) < 0.0) {
        *good = false;
        return 0.0;
    }
    return json_number_value(value);
}

static size_t count(const json_t *object, const char *key, bool *measured, bool *good)
{
    number(object, key, measured, good);
    if (measured && !*measured)
        return 0;
    const json_t *value = json_object_get(object, key);
    *good = *good && json_is_integer(value);
    return (size_t)json_integer_value(value);
}

static ex_status malformed(void)
{
    return EX_FAIL(EX_ERR_INPUT,
                   "the ledger of the checkpoint is not what version %s writes; "
                   "start the run anew",
                   EXCISE_VERSION);
}

static ex_status read_kinds(ex_ledger_phase *p, json_t *kinds)
{
    bool good = json_is_object(kinds);
    const char *name;
    json_t *value;
    json_object_foreach(kinds, name, value)
    {
        ex_ledger_kind *k = ex_ledger_kind_find(p, name);
        if (!k)
            return malformed();
        k->up = count(value, "up", NULL, &good);
        k->down = count(value, "down", NULL, &good);
    }
    return good ? EX_OK : malformed();
}

static ex_status read_clients(ex_ledger_phase *p, const json_t *clients)
{
    bool good = json_is_array(clients);
    json_int_t last = -1; /* they are written in order: each row goes to the end of the table */
    for (size_t i = 0; i < json_array_size(clients) && good; i++) {
        const json_t *c = json_array_get(clients, i);
        const size_t client = count(c, "client", NULL, &good);
        if (!good || client >= EX_RNG_CLIENTS || (json_int_t)client <= last)
            return malformed();
        ex_ledger_client_row *row = ex_ledger_client_find(p, (int)client);
        if (!row)
            return EX_ERR_MEMORY;
        last = (json_int_t)client;
        row->seconds = number(c, "seconds", NULL, &good);
        row->samples = count(c, "samples", NULL, &good);
        row->bytes_up = count(c, "bytes_up", NULL, &good);
        row->bytes_down = count(c, "bytes_down", NULL, &good);
    }
    return good ? EX_OK : malformed();
}

static ex_status read_phase(ex_ledger *l, const json_t *json)
{
    const char *name = json_string_value(json_object_get(json, "name"));
    if (!name || ex_ledger_phase_find(l, name, false))
        return malformed();
    ex_ledger_phase *p = ex_ledger_phase_find(l, name, true);
    if (!p)
        return malformed();
    bool good = true;
    const size_t rounds = count(json, "rounds", NULL, &good);
    good = good && rounds <= EX_RNG_ROUNDS;
    p->cost = (ex_cost){
        .wall_s = number(json, "wall_s", NULL, &good),
        .compute_s = number(json, "compute_s", &p->has_compute, &good),
        .client_s = number(json, "client_s", &p->has_client, &good),
        .samples = count(json, "samples", NULL, &good),
        .bytes_up = count(json, "bytes_up", NULL, &good),
        .bytes_down = count(json, "bytes_down", NULL, &good),
        .stored_samples = count(json, "stored_samples", &p->has_stored, &good),
        .rounds = good ? (int)rounds : 0,
    };
    p->stored_bytes = count(json, "stored_bytes", &p->has_stored, &good);
    p->peak_memory = count(json, "peak_memory_bytes", &p->has_peak, &good);
    if (!good)
        return malformed();
    EX_TRY(read_kinds(p, json_object_get(json, "bytes")));
    return read_clients(p, json_object_get(json, "clients"));
}

static ex_status restore_locked(ex_ledger *l, const json_t *json)
{
    if (l->open_count > 0)
        return EX_FAIL(EX_ERR_INTERNAL, "a ledger is restored before its first phase is opened");
    const json_t *phases = json_object_get(json, "phases");
    if (json_integer_value(json_object_get(json, "schema")) != 1 || !json_is_array(phases))
        return malformed();
    ex_status status = EX_OK;
    ex_ledger_clear(l);
    for (size_t i = 0; i < json_array_size(phases) && status == EX_OK; i++)
        status = read_phase(l, json_array_get(phases, i));
    if (status != EX_OK)
        ex_ledger_clear(l);
    return status;
}

ex_status ex_ledger_restore(ex_ledger *l, const json_t *json)
{
    pthread_mutex_lock(&l->lock);
    const ex_status status = restore_locked(l, json);
    pthread_mutex_unlock(&l->lock);
    return status;
}
