/* Partitions without a Dirichlet draw, and what all kinds share. */
#include "partition_impl.h"

#include "base/memory.h"

ex_rng ex_split_rng(const ex_split *s, ex_split_draw draw, int place)
{
    return ex_rng_at((ex_rng_key){.seed = s->config->seed,
                                  .use = EX_RNG_PARTITION,
                                  .client = (uint32_t)place,
                                  .step = (uint32_t)draw});
}

/* --- kinds ---------------------------------------------------------------------------------- */

static ex_status split_iid(ex_split *s)
{
    ex_rng r = ex_split_rng(s, EX_SPLIT_DEAL, 0);
    ex_rng_shuffle(&r, s->member, s->pool->count);
    for (size_t i = 0; i < s->pool->count; i++)
        s->owner[s->member[i]] = (int32_t)(i % (size_t)s->clients);
    return EX_OK;
}

/* McMahan et al. 2017: the samples sorted by label are cut into equal shards, dealt at random. */
static ex_status split_shard(ex_split *s)
{
    const size_t each = (size_t)s->config->partition.shards_per_client;
    const size_t shards = each * (size_t)s->clients, count = s->pool->count;
    uint32_t *dealt;
    EX_TRY(ex_alloc(&dealt, shards, sizeof *dealt, "shards"));
    for (size_t i = 0; i < shards; i++)
        dealt[i] = (uint32_t)i;
    ex_rng r = ex_split_rng(s, EX_SPLIT_DEAL, 0);
    ex_rng_shuffle(&r, dealt, shards);
    for (size_t i = 0; i < shards; i++) {
        const size_t shard = dealt[i];
        for (size_t m = shard * count / shards; m < (shard + 1) * count / shards; m++)
            s->owner[s->member[m]] = (int32_t)(i / each);
    }
    ex_free(&dealt);
    return EX_OK;
}

/* Deals each client classes_per_client different classes from a shuffled deck of all classes, a new
 * deck whenever one is used up, so that the numbers of holders differ by one at most.
 * holds (clients, classes). */
static void deal_classes(const ex_split *s, uint8_t *holds, uint32_t *deck)
{
    ex_rng r = ex_split_rng(s, EX_SPLIT_DEAL, 0);
    int left = 0;
    for (int client = 0; client < s->clients; client++) {
        uint8_t *hold = holds + (size_t)client * (size_t)s->classes;
        for (int k = 0; k < s->config->partition.classes_per_client; k++) {
            if (left == 0) {
                for (; left < s->classes; left++)
                    deck[left] = (uint32_t)left;
                ex_rng_shuffle(&r, deck, (size_t)left);
            }
            /* The top card that the client does not hold from the deck before: there is one, since
             * it holds fewer than classes_per_client <= classes. */
            int at = left - 1;
            while (hold[deck[at]])
                at--;
            hold[deck[at]] = 1;
            for (left--; at < left; at++)
                deck[at] = deck[at + 1];
        }
    }
}

static void share_class(ex_split *s, const uint8_t *holds, int label)
{
    int client = -1, holders = 0;
    for (int i = 0; i < s->clients; i++)
        holders += holds[(size_t)i * (size_t)s->classes + (size_t)label];
    for (size_t m = s->first[label]; holders > 0 && m < s->first[label + 1]; m++) {
        do
            client = (client + 1) % s->clients;
        while (!holds[(size_t)client * (size_t)s->classes + (size_t)label]);
        s->owner[s->member[m]] = client;
    }
}

static ex_status split_pathological(ex_split *s)
{
    const int each = s->config->partition.classes_per_client;
    if (each > s->classes)
        return EX_FAIL(EX_ERR_CONFIG,
                       "partition.classes_per_client is %d, but the data has %d classes; lower it",
                       each, s->classes);
    uint8_t *holds;
    uint32_t *deck = NULL;
    ex_status status;
    EX_TRY_GOTO(ex_alloc(&holds, (size_t)s->clients * (size_t)s->classes, 1, "class holders"),
                done);
    EX_TRY_GOTO(ex_alloc(&deck, (size_t)s->classes, sizeof *deck, "deck of classes"), done);
    deal_classes(s, holds, deck);
    for (int label = 0; label < s->classes; label++)
        share_class(s, holds, label);
done:
    ex_free(&holds);
    ex_free(&deck);
    return status;
}

static const struct {
    ex_status (*split)(ex_split *s);
    const char *advice; /* against empty clients */
} kinds[] = {
    [EX_PARTITION_IID] = {split_iid, "lower num_clients or raise train_samples"},
    [EX_PARTITION_SHARD] = {split_shard, "lower num_clients or raise train_samples"},
    [EX_PARTITION_PATHOLOGICAL] = {split_pathological,
                                   "lower num_clients or raise partition.classes_per_client"},
    [EX_PARTITION_DIRICHLET_CLIENT] = {ex_split_dirichlet_client,
                                       "lower num_clients or raise train_samples"},
    [EX_PARTITION_DIRICHLET_CLASS] = {ex_split_dirichlet_class,
                                      "raise partition.alpha, lower num_clients or change seed"},
};

/* --- common --------------------------------------------------------------------------------- */

static ex_status split_init(ex_split *s)
{
    const ex_samples *pool = s->pool;
    EX_TRY(ex_alloc(&s->owner, pool->count, sizeof *s->owner, "partition"));
    EX_TRY(ex_alloc(&s->member, pool->count, sizeof *s->member, "partition"));
    EX_TRY(ex_alloc(&s->first, (size_t)s->classes + 1, sizeof *s->first, "partition"));
    for (size_t i = 0; i < pool->count; i++) {
        s->owner[i] = -1;
        s->first[pool->label[i] + 1]++;
    }
    for (int c = 0; c < s->classes; c++)
        s->first[c + 1] += s->first[c];
    size_t m = 0;
    for (int c = 0; c < s->classes; c++) {
        for (size_t i = 0; i < pool->count; i++)
            if (pool->label[i] == c)
                s->member[m++] = (uint32_t)i;
        ex_rng r = ex_split_rng(s, EX_SPLIT_ORDER, c);
        ex_rng_shuffle(&r, s->member + s->first[c], m - s->first[c]);
    }
    return EX_OK;
}

static void split_close(ex_split *s)
{
    ex_free(&s->owner);
    ex_free(&s->member);
    ex_free(&s->first);
}

/* Counts go where the samples will: clients[k].count. */
static ex_status count_samples(ex_samples *clients, const ex_split *s)
{
    for (size_t i = 0; i < s->pool->count; i++)
        if (s->owner[i] >= 0)
            clients[s->owner[i]].count++;
    for (int k = 0; k < s->clients; k++)
        if (clients[k].count == 0)
            return EX_FAIL(EX_ERR_CONFIG,
                           "client %d of %d gets none of the %zu samples by partition.kind %s; %s",
                           k, s->clients, s->pool->count,
                           ex_config_choice(s->config, "partition.kind"),
                           kinds[s->config->partition.kind].advice);
    return EX_OK;
}

static ex_status hand_out(ex_samples *clients, const ex_split *s)
{
    EX_TRY(count_samples(clients, s));
    for (int k = 0; k < s->clients; k++) {
        EX_TRY(ex_samples_alloc(&clients[k], clients[k].count));
        clients[k].count = 0;
    }
    for (size_t i = 0; i < s->pool->count; i++) {
        if (s->owner[i] < 0)
            continue;
        ex_samples *c = &clients[s->owner[i]];
        c->index[c->count] = s->pool->index[i];
        c->label[c->count++] = s->pool->label[i];
    }
    return EX_OK;
}

ex_status ex_partition(ex_samples *clients, const ex_config *config, const ex_dataset *data,
                       const ex_samples *pool)
{
    ex_split s = {
        .config = config, .pool = pool, .clients = config->num_clients, .classes = data->classes};
    for (int k = 0; k < s.clients; k++)
        clients[k] = (ex_samples){0};
    ex_status status;
    EX_TRY_GOTO(split_init(&s), done);
    EX_TRY_GOTO(kinds[config->partition.kind].split(&s), done);
    EX_TRY_GOTO(hand_out(clients, &s), done);
done:
    split_close(&s);
    for (int k = 0; k < s.clients && status != EX_OK; k++)
        ex_samples_free(&clients[k]);
    return status;
}
