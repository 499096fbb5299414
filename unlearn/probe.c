/* The probe set of Algorithm 1: samples of a class from the server's side, never the test set. */
#include "base/memory.h"
#include "base/rng.h"
#include "effects.h"

/* Training samples of one class that may be drawn from. */
typedef struct candidates {
    uint32_t *index;
    size_t count;
} candidates;

/* Shuffled in place by a stream of the class's own, so that the probe set of a class does not
 * depend on the other classes probed beside it. */
static void shuffle(candidates *c, uint64_t seed, int label, uint32_t pool)
{
    const ex_rng_key key = {
        .seed = seed, .use = EX_RNG_PROBE, .round = (uint32_t)label, .step = pool};
    ex_rng r = ex_rng_at(key);
    ex_rng_shuffle(&r, c->index, c->count);
}

static ex_status take(ex_samples *out, size_t *count, const ex_federation *f, int label,
                      size_t probe, const uint8_t *on_server, candidates *room)
{
    const ex_dataset *train = &f->data->train;
    size_t taken = 0;
    for (uint32_t pool = 0; pool < 2; pool++) { /* the server's, then the others */
        room->count = 0;
        for (size_t i = 0; i < train->count; i++)
            if (train->labels[i] == label && on_server[i] == !pool)
                room->index[room->count++] = (uint32_t)i;
        shuffle(room, ex_config_unlearn_seed(&f->config), label, pool);
        for (size_t i = 0; i < room->count && taken < probe; i++, taken++) {
            out->index[*count] = room->index[i];
            out->label[(*count)++] = (uint16_t)label;
        }
    }
    if (!taken)
        return EX_FAIL(
            EX_ERR_INPUT,
            "no training sample of class %d in %s to probe with; choose a class that the "
            "training set holds, or raise train_samples",
            label, train->name);
    return EX_OK;
}

ex_status ex_probe_make(ex_samples *out, const ex_federation *f, const int *labels, int label_count,
                        int probe)
{
    *out = (ex_samples){0};
    const ex_dataset *train = &f->data->train;
    EX_CHECK_ARG(probe > 0, "unlearn.probe is %d; at least 1 is expected", probe);
    EX_CHECK_ARG(label_count > 0, "no class to probe");
    ex_status status;
    size_t count = 0;
    uint8_t *on_server = NULL;
    candidates room = {0};
    EX_TRY_GOTO(ex_alloc(&on_server, train->count, 1, "probe set"), done);
    EX_TRY_GOTO(ex_alloc(&room.index, train->count, sizeof *room.index, "probe set"), done);
    for (size_t i = 0; i < f->server.count; i++)
        on_server[f->server.index[i]] = 1;
    EX_TRY_GOTO(ex_samples_alloc(out, (size_t)label_count * (size_t)probe), done);
    for (int i = 0; i < label_count; i++)
        EX_TRY_GOTO(take(out, &count, f, labels[i], (size_t)probe, on_server, &room), done);
    out->count = count;
done:
    if (status != EX_OK)
        ex_samples_free(out);
    ex_free(&on_server);
    ex_free(&room.index);
    return status;
}
