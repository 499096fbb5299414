/* A federation: data split over clients and server, a model, and the lanes that clients train on.
 *
 * A round (Algorithm 2's loop, and FedAvg's): sample the cohort, give every client the global
 * values, let each train on its lane, gather the updates, average, apply. With a mask only the
 * masked part is trained, sent and averaged, in fixed point, so the result does not depend on lanes
 * or on how clients are dealt to ranks. */
#ifndef EX_FEDERATION_H
#define EX_FEDERATION_H

#include "comm.h"
#include "config.h"
#include "ledger.h"
#include "trainer.h"

typedef struct ex_share ex_share;           /* share.h */
typedef struct ex_round_room ex_round_room; /* round_impl.h */

typedef struct ex_federation {
    ex_config config;
    ex_data *data;
    ex_model *model;
    ex_device *device;
    ex_ledger *ledger;
    ex_comm *comm;
    ex_share *share;       /* what the other ranks hold; NULL: there are none */
    ex_mask *full;         /* every channel: what a round without a mask exchanges */
    float *params, *stats; /* the global model */
    float *velocity;       /* (param_count) the server's momentum; NULL: its strategy has none */
    uint64_t seed;         /* of rounds' draws: config.seed, in unlearning unlearn.seed */
    int64_t batches;       /* num_batches_tracked of the file it was read from, else 0 */
    ex_samples *clients;   /* (config.num_clients) */
    ex_samples server;     /* the server's own samples */
    int lane_count;        /* fewer when the device's memory holds no more */
    size_t lane_bytes;     /* of it that the newest lane took; 0: not known */
    size_t setup_bytes;    /* and at most what lanes were prepared with when they were there */
    ex_round_room *room;   /* memory that rounds use one after the other; NULL before the first */
    ex_trainer **lanes;    /* one thread_per_lane each, created on first use */
    ex_trainer *central;   /* the server's lane, config.server.threads; created on first use */
} ex_federation;

/* Opens data, model (initialised by seed), device, partition and server samples. Checks that the
 * class to unlearn exists when config.unlearn.class_label >= 0. */
ex_status ex_federation_open(ex_federation **out, const ex_config *config);
/* The same for rank 0 of several, which the others serve (ex_federation_serve) until it is closed:
 * they open the same, with this configuration. Takes the communicator, on an error too. The first
 * rank's error is returned. One rank: as ex_federation_open. */
ex_status ex_federation_open_shared(ex_federation **out, const ex_config *config, ex_comm **comm);
void ex_federation_close(ex_federation **f);

/* The rounds that follow are another task's: the server's momentum is 0 again. */
void ex_federation_halt(ex_federation *f);

/* The server's lane, loaded with the global values. */
ex_status ex_federation_central(ex_federation *f, ex_trainer **out);
/* Makes sure that the client lanes exist. On a device with memory of its own and with lanes: 0
 * those that fit, which lowers lane_count; a number of lanes that do not fit is EX_ERR_MEMORY
 * saying how many do. */
ex_status ex_federation_lanes(ex_federation *f);
/* The same; each lane is then prepared by `setup`, and fits if that finds its memory. */
typedef ex_status (*ex_lane_setup)(void *context, ex_trainer *trainer);
ex_status ex_federation_lanes_with(ex_federation *f, ex_lane_setup setup, void *context);
/* After EX_ERR_MEMORY: whether there are fewer lanes now, so that it may be tried again. */
bool ex_federation_fewer_lanes(ex_federation *f);
/* Drops the plans that all lanes keep for their next use, to make room for others. */
void ex_federation_drop_plans(ex_federation *f);

typedef struct ex_round {
    int number; /* counts from 0; names the random streams */
    /* (num_clients) what each trains on; an empty one sits the round out. */
    const ex_samples *clients;
    const ex_mask *mask; /* NULL = everything */
    ex_norm_mode norm;
    double lr;
    int local_epochs;
    bool send_mask; /* the mask goes to every client of the cohort in this round */
} ex_round;

typedef struct ex_round_result {
    double loss, accuracy; /* mean over the cohort's last local epoch; NAN if nobody took part */
    double seconds, client_seconds;
    size_t bytes_up, bytes_down, samples;
    int cohort;
} ex_round_result;

/* As messages count: from 1, and anew behind the rounds of training, where unlearning goes on with
 * the numbers. */
int ex_round_told(const ex_federation *f, int number);
/* Runs a round on f->params, f->stats (and f->velocity) and records it in the open ledger phase. On
 * an error or an interruption they are those from before the round. */
ex_status ex_federation_round(ex_federation *f, const ex_round *round, ex_round_result *result);

/* What a training will take: its cohorts are drawn, and the largest clients train a step or two on
 * every lane, with an evaluation. Changes the global values: for a dry run alone. */
typedef struct ex_rehearsal {
    size_t peak_memory; /* bytes of the process; 0 where the system does not tell */
    int largest_cohort; /* clients that take part in a round, at most */
    size_t turns;       /* clients that take part, added up over the rounds */
    size_t client_bytes_up, client_bytes_down; /* messages of a client in a round */
} ex_rehearsal;
ex_status ex_federation_rehearse(ex_federation *f, ex_rehearsal *out);

/* Accuracy of the current global values, by class and in all; classes <= 65535. */
typedef struct ex_accuracy {
    int classes;
    size_t *class_correct, *class_count; /* (classes) */
    size_t correct, count;
    double loss; /* mean */
} ex_accuracy;
/* On `samples` (NULL: all of the data set). Spread over the client lanes; counts do not depend on
 * their number. */
ex_status ex_federation_evaluate(ex_federation *f, const ex_dataset *data,
                                 const ex_samples *samples, ex_accuracy *out);
void ex_accuracy_free(ex_accuracy *a);
/* Fractions 0..1: of all classes, of class `label`, and of all others; NAN where there are no
 * samples. */
double ex_accuracy_all(const ex_accuracy *a);
double ex_accuracy_class(const ex_accuracy *a, int label);
double ex_accuracy_others(const ex_accuracy *a, int label);

/* The whole training: config.rounds rounds over f->clients from `first_round` on, with a call after
 * each round (evaluate, write metrics, checkpoint), which no interruption reaches. The callback's
 * error ends the loop. */
typedef ex_status (*ex_round_callback)(void *context, ex_federation *f, int round,
                                       const ex_round_result *result);
ex_status ex_federation_train(ex_federation *f, const ex_samples *clients, int first_round,
                              ex_round_callback after, void *context);

#endif
