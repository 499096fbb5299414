/* The ranks' sums of a round become one. Behind the sum of the updates travel, to every rank: how
 * each rank fared, how many values were outside, and what each client took. */
#include "round_impl.h"

#include <string.h>

/* Of a client, behind the sum. Seconds and loss travel as their bits: one rank has them, the others
 * add 0. */
enum { LOSS, CORRECT, COUNT, SECONDS, PROCESSED, OUTCOME };

/* The places behind the sum: statuses (ranks), outside (1), outcomes (cohort, OUTCOME). */
size_t ex_round_extra_places(const ex_round_work *w)
{
    return (size_t)ex_comm_size(w->f->comm) + 1 + (size_t)w->cohort_count * OUTCOME;
}

static int64_t bits_of(double value)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double value_of(int64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void pack_outcomes(const ex_round_work *w, int64_t *at)
{
    for (int i = w->first; i < w->first + w->count; i++) {
        const ex_round_outcome *o = &w->outcomes[i];
        int64_t *place = at + (size_t)i * OUTCOME;
        place[LOSS] = bits_of(o->sums.loss);
        place[CORRECT] = (int64_t)o->sums.correct;
        place[COUNT] = (int64_t)o->sums.count;
        place[SECONDS] = bits_of(o->seconds);
        place[PROCESSED] = (int64_t)o->processed;
    }
}

/* What cannot have been counted, of a rank that has gone wrong, is not added up. */
static ex_status check_outcomes(const ex_round_work *w, int64_t outside, const int64_t *at)
{
    bool possible = outside >= 0;
    for (int i = 0; i < w->cohort_count; i++, at += OUTCOME)
        possible = possible && at[CORRECT] >= 0 && at[COUNT] >= at[CORRECT] && at[PROCESSED] >= 0;
    return possible ? EX_OK
                    : EX_FAIL(EX_ERR_INTERNAL, "round %d: a rank tells of counts that cannot be",
                              ex_round_told(w->f, w->round->number));
}

static void unpack_outcomes(ex_round_work *w, const int64_t *at)
{
    for (int i = 0; i < w->cohort_count; i++, at += OUTCOME)
        w->outcomes[i] = (ex_round_outcome){.sums = {.loss = value_of(at[LOSS]),
                                                     .correct = (size_t)at[CORRECT],
                                                     .count = (size_t)at[COUNT]},
                                            .seconds = value_of(at[SECONDS]),
                                            .processed = (size_t)at[PROCESSED]};
}

ex_status ex_round_join(ex_round_work *w, ex_status mine)
{
    ex_comm *comm = w->f->comm;
    int64_t *statuses = w->room->sum.sum + w->room->sum.size,
            *outside = statuses + ex_comm_size(comm);
    statuses[ex_comm_rank(comm)] = (int64_t)mine;
    *outside = (int64_t)w->room->sum.outside;
    pack_outcomes(w, outside + 1);
    EX_TRY(ex_comm_sum(comm, w->room->sum.sum, w->room->sum.size + ex_round_extra_places(w)));
    EX_TRY(ex_comm_settle(comm, statuses));
    EX_TRY(check_outcomes(w, *outside, outside + 1));
    w->room->sum.outside = (uint64_t)*outside;
    unpack_outcomes(w, outside + 1);
    return EX_OK;
}
