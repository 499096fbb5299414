/* The ranks other than 0: what they do of what rank 0 tells. */
#include "share_impl.h"

#include "base/rng.h"

#include <math.h>
#include <string.h>

/* The order alone is looked at; what follows it is checked as it comes. */
static ex_status check_round(const ex_federation *f, const ex_order *o)
{
    const char *wrong = NULL;
    if (o->number < 0 || o->number >= EX_RNG_ROUNDS)
        wrong = "its number";
    else if (o->norm != EX_NORM_TRAIN && o->norm != EX_NORM_FROZEN)
        wrong = "how it normalises";
    else if (o->local_epochs < 1 || o->local_epochs >= EX_RNG_EPOCHS)
        wrong = "its epochs";
    else if (!isfinite(o->lr) || o->lr < 0)
        wrong = "its learning rate";
    else if (o->with_mask ? !o->has_mask : o->has_mask && !f->share->mask)
        wrong = "its mask";
    return wrong ? EX_FAIL(EX_ERR_INTERNAL, "rank 0 tells of a round, %d, that cannot be: %s",
                           o->number, wrong)
                 : EX_OK;
}

static ex_status receive_round(ex_federation *f, const ex_order *o)
{
    EX_TRY(check_round(f, o));
    if (!o->has_mask)
        ex_mask_destroy(&f->share->mask);
    if (o->with_mask)
        EX_TRY(ex_share_send_mask(f));
    if (o->with_values)
        EX_TRY(ex_share_send_values(f));
    if (o->with_clients)
        EX_TRY(ex_share_send_clients(f, NULL));
    return o->algorithms ? ex_share_receive_algorithms(f, o->algorithms) : EX_OK;
}

static ex_status check_values(const ex_federation *f, const ex_order *o)
{
    const uint64_t mine = ex_share_digest(f);
    if (mine == o->values)
        return EX_OK;
    return EX_FAIL(EX_ERR_INTERNAL, "round %d: this rank's global values differ from rank 0's",
                   ex_round_told(f, o->number));
}

ex_status ex_share_serve_round(ex_federation *f, const ex_order *o)
{
    ex_round_result result;
    ex_status status = receive_round(f, o);
    if (status != EX_OK) {
        ex_comm_abort(f->comm); /* the ranks are no longer at the same place */
        return status;
    }
    f->seed = o->seed;
    f->share->trouble = check_values(f, o);
    const ex_round round = {.number = o->number,
                            .clients = f->share->samples,
                            .mask = o->has_mask ? f->share->mask : NULL,
                            .norm = (ex_norm_mode)o->norm,
                            .lr = o->lr,
                            .local_epochs = o->local_epochs,
                            .send_mask = o->send_mask != 0};
    return ex_federation_round(f, &round, &result);
}

static ex_status serve_order(ex_federation *f, const ex_order *o)
{
    if (o->kind == EX_ORDER_ROUND)
        return ex_share_serve_round(f, o);
    ex_comm_abort(f->comm);
    return EX_FAIL(EX_ERR_INTERNAL, "rank 0 gives an order of kind %d, which there is not",
                   o->kind);
}

/* What failed on all ranks is rank 0's to report; it may go on with another round. */
static ex_status serve_rounds(ex_federation *f)
{
    for (ex_order o;;) {
        EX_TRY(ex_order_tell(f->comm, &o));
        if (o.kind == EX_ORDER_WAIT)
            continue;
        if (o.kind == EX_ORDER_STOP)
            return EX_OK;
        const ex_status status = serve_order(f, &o);
        if (status != EX_OK && ex_comm_broken(f->comm))
            return status;
    }
}

static ex_status check_program(const ex_order *o)
{
    const ex_order mine = ex_order_open();
    if (o->kind == EX_ORDER_OPEN && memcmp(o->program, mine.program, sizeof mine.program) == 0)
        return EX_OK;
    return EX_FAIL(EX_ERR_UNSUPPORTED, "this rank runs %s, and rank 0 %.63s; they must be the same",
                   mine.program, o->kind == EX_ORDER_OPEN ? o->program : "something else");
}

static ex_status serve(ex_federation **f, ex_comm **comm, bool *reported)
{
    ex_order o;
    ex_config config;
    EX_TRY(ex_order_tell(*comm, &o));
    if (o.kind == EX_ORDER_STOP)
        return EX_OK;
    ex_status status = check_program(&o);
    if (status != EX_OK) {
        ex_comm_abort(*comm);
        return status;
    }
    EX_TRY(ex_comm_broadcast(*comm, &config, sizeof config, 0));
    status = ex_config_check_received(&config, "rank 0");
    if (status != EX_OK) {
        ex_comm_abort(*comm);
        return status;
    }
    status = ex_federation_join(f, &config, comm);
    *reported = status != EX_OK && *comm && !ex_comm_broken(*comm);
    return status == EX_OK ? serve_rounds(*f) : status;
}

ex_status ex_federation_serve(ex_comm **comm, bool *reported)
{
    ex_federation *f = NULL;
    *reported = false;
    const ex_status status = serve(&f, comm, reported);
    ex_federation_close(&f);
    ex_comm_destroy(comm);
    return status;
}
