/* The two partitions that are called Dirichlet(alpha). Both draw from the symmetric distribution,
 * alpha for each part:
 *   dirichlet-class   shares of a class over the clients (Yurochkin et al. 2019); unequal sizes
 *   dirichlet-client  shares of the classes at a client (Hsu et al. 2019); equal sizes */
#include "partition_impl.h"

#include "base/memory.h"

/* share (n), summing to 1. */
static void draw_shares(double *share, int n, double alpha, ex_rng r)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++)
        sum += share[i] = ex_rng_gamma(&r, alpha);
    if (sum > 0.0) {
        for (int i = 0; i < n; i++)
            share[i] /= sum;
        return;
    }
    /* A tiny alpha lets every draw underflow; its limit is all for one. */
    share[ex_rng_below(&r, (uint32_t)n)] = 1.0;
}

ex_status ex_split_dirichlet_class(ex_split *s)
{
    double *share;
    EX_TRY(ex_alloc(&share, (size_t)s->clients, sizeof *share, "Dirichlet shares"));
    for (int label = 0; label < s->classes; label++) {
        draw_shares(share, s->clients, s->config->partition.alpha,
                    ex_split_rng(s, EX_SPLIT_SHARES, label));
        const size_t count = s->first[label + 1] - s->first[label];
        const uint32_t *member = s->member + s->first[label];
        double until = 0.0;
        size_t m = 0;
        for (int k = 0; k < s->clients; k++) {
            until += share[k];
            const size_t end = k + 1 < s->clients ? (size_t)(until * (double)count + 0.5) : count;
            for (; m < end && m < count; m++)
                s->owner[member[m]] = k;
        }
    }
    ex_free(&share);
    return EX_OK;
}

/* A class that has members left, drawn by share; by what is left where the shares of those classes
 * are all zero. */
static int pick_class(const double *share, const size_t *left, int classes, ex_rng *r)
{
    double mass = 0.0, rest = 0.0;
    for (int c = 0; c < classes; c++) {
        mass += left[c] ? share[c] : 0.0;
        rest += (double)left[c];
    }
    double at = (double)ex_rng_uniform(r) * (mass > 0.0 ? mass : rest);
    int last = -1;
    for (int c = 0; c < classes; c++) {
        const double part = mass > 0.0 ? share[c] : (double)left[c];
        if (!left[c] || part <= 0.0)
            continue;
        last = c;
        if (at < part)
            break;
        at -= part;
    }
    return last;
}

/* One sample each in turn, so that the shortage of a class towards the end meets all alike. */
static void pick_in_turn(ex_split *s, const double *shares, ex_rng *streams, size_t *left)
{
    const size_t classes = (size_t)s->classes;
    for (size_t given = 0; given < s->pool->count; given++) {
        const size_t client = given % (size_t)s->clients;
        const int label = pick_class(shares + client * classes, left, s->classes, &streams[client]);
        s->owner[s->member[s->first[label] + --left[label]]] = (int32_t)client;
    }
}

ex_status ex_split_dirichlet_client(ex_split *s)
{
    const size_t clients = (size_t)s->clients, classes = (size_t)s->classes;
    double *shares;
    ex_rng *streams = NULL;
    size_t *left = NULL;
    ex_status status;
    EX_TRY_GOTO(ex_alloc(&shares, clients * classes, sizeof *shares, "Dirichlet shares"), done);
    EX_TRY_GOTO(ex_alloc(&streams, clients, sizeof *streams, "Dirichlet streams"), done);
    EX_TRY_GOTO(ex_alloc(&left, classes, sizeof *left, "class counts"), done);
    for (int k = 0; k < s->clients; k++) {
        draw_shares(shares + (size_t)k * classes, s->classes, s->config->partition.alpha,
                    ex_split_rng(s, EX_SPLIT_SHARES, k));
        streams[k] = ex_split_rng(s, EX_SPLIT_PICK, k);
    }
    for (int c = 0; c < s->classes; c++)
        left[c] = s->first[c + 1] - s->first[c];
    pick_in_turn(s, shares, streams, left);
done:
    ex_free(&shares);
    ex_free(&streams);
    ex_free(&left);
    return status;
}
