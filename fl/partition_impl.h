/* Inside of the partitioner. A kind of partition only says who owns which sample; since a sample
 * has one owner at most, none can be given out twice. */
#ifndef EX_PARTITION_IMPL_H
#define EX_PARTITION_IMPL_H

#include "base/rng.h"
#include "partition.h"

typedef struct ex_split {
    const ex_config *config;
    const ex_samples *pool;
    int clients, classes;
    uint32_t *member; /* positions in the pool, class after class, shuffled within each */
    size_t *first;    /* (classes + 1) class c is member[first[c] .. first[c + 1]) */
    int32_t *owner;   /* (pool->count) client, or -1: nobody; what a kind fills in */
} ex_split;

/* Streams of random numbers that a partition draws from, one a purpose and place. */
typedef enum ex_split_draw {
    EX_SPLIT_ORDER,  /* of a class's members; place: class */
    EX_SPLIT_DEAL,   /* of samples, shards or classes to clients */
    EX_SPLIT_SHARES, /* Dirichlet; place: class or client */
    EX_SPLIT_PICK,   /* dirichlet-client's classes, sample by sample; place: client */
} ex_split_draw;

ex_rng ex_split_rng(const ex_split *s, ex_split_draw draw, int place);
/* Each class's members are split by shares over the clients, drawn from Dirichlet(alpha, ...). */
ex_status ex_split_dirichlet_class(ex_split *s);
/* Each client draws shares of the classes from Dirichlet(alpha, ...), then its samples by them. */
ex_status ex_split_dirichlet_client(ex_split *s);

#endif
