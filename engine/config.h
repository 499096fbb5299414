/* The configuration of an experiment: one struct, and ONE field table (config_fields.c) that serves
 * the YAML file, `-s key=value`, --help, the resolved config.yaml and the README's reference.
 *
 * Keys are dotted paths ("partition.kind", "unlearn.lr"); in YAML the dot is a nested map. An
 * unknown key, a wrong type or a value out of range is EX_ERR_CONFIG with file, line and what is
 * accepted: `exp.yaml:7: partition.kind is "dirichle"; one of iid, shard, ...`. */
#ifndef EX_CONFIG_H
#define EX_CONFIG_H

#include "backend.h"
#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { EX_TEXT_MAX = 256 };

/* A short list of numbers, such as one for each image channel. */
typedef struct ex_reals {
    size_t count;
    double value[EX_CHANNELS_MAX];
} ex_reals;

typedef enum ex_partition_kind {
    EX_PARTITION_IID,
    EX_PARTITION_SHARD,
    EX_PARTITION_PATHOLOGICAL,
    EX_PARTITION_DIRICHLET_CLIENT,
    EX_PARTITION_DIRICHLET_CLASS,
} ex_partition_kind;

typedef enum ex_color { EX_COLOR_RGB, EX_COLOR_GREY } ex_color;
typedef enum ex_weighting { EX_WEIGHTING_SAMPLES, EX_WEIGHTING_UNIFORM } ex_weighting;
typedef enum ex_aggregation { EX_AGGREGATION_FEDAVG, EX_AGGREGATION_FEDAVGM } ex_aggregation;
typedef enum ex_relabel { EX_RELABEL_ONCE, EX_RELABEL_EACH } ex_relabel;
typedef enum ex_layer_choice { EX_LAYERS_ALL, EX_LAYERS_CONV, EX_LAYERS_HEAD } ex_layer_choice;
typedef enum ex_strategy_choice {
    EX_STRATEGY_NAIVE,
    EX_STRATEGY_STREAMS,
    EX_STRATEGY_BATCHED
} ex_strategy_choice;

typedef struct ex_config {
    char dataset[EX_TEXT_MAX], data_dir[EX_TEXT_MAX], model[EX_TEXT_MAX];
    size_t train_samples, test_samples; /* 0 = all */
    uint64_t seed;
    struct {
        ex_reals mean, std; /* of values in 0..1; empty: the data set's own */
    } normalize;
    struct {
        int color;         /* ex_color */
        double test_share; /* of each class */
    } images;              /* dataset folder */
    struct {
        int crop, cutout; /* pixels; 0 = off */
        bool flip;
    } augment;

    int num_clients, clients_per_round; /* clients_per_round 0 = all */
    int rounds, local_epochs, batch_size;
    double lr, momentum, weight_decay;
    int weighting;   /* ex_weighting */
    int aggregation; /* ex_aggregation */
    struct {
        int kind; /* ex_partition_kind */
        double alpha;
        int classes_per_client, shards_per_client;
    } partition;
    struct {
        size_t samples;
        bool overlap;
        int threads;         /* of the server's lane */
        double lr, momentum; /* of aggregation fedavgm */
    } server;
    struct {
        char method[EX_TEXT_MAX];
        int class_label; /* key unlearn.class; -1 = not given */
        int seed;        /* -1 = config.seed */
        double delta;
        int layers;  /* ex_layer_choice */
        int relabel; /* ex_relabel */
        int norm;    /* key unlearn.bn: ex_norm_mode */
        double lr, stop_forget;
        int rounds, local_epochs; /* DE; local_epochs 0 = as in training */
        int epochs, batch_size;   /* CE and head */
        int probe, ablate;        /* samples of the class; ex_ablation */
        int strategy;             /* ex_strategy_choice */
        int variants;             /* channels folded into a batch; 0 = chosen */
    } unlearn;

    char device[EX_TEXT_MAX];
    int precision, conv;         /* ex_precision, ex_conv_choice */
    int lanes, threads_per_lane; /* lanes 0 = as many as fill the device */
    int steps_per_launch;        /* cuda */
    size_t memory;               /* bytes; 0 = no limit */
    struct {
        int kind;               /* key comm: auto, local, mpi, nccl */
        double timeout;         /* seconds */
        char file[EX_TEXT_MAX]; /* where ranks meet; empty = beside the run */
    } comm;
} ex_config;

/* What names the random draws of unlearning. */
static inline uint64_t ex_config_unlearn_seed(const ex_config *c)
{
    return c->unlearn.seed < 0 ? c->seed : (uint64_t)c->unlearn.seed;
}

/* Every key at its default. */
void ex_config_default(ex_config *c);
/* Reads a YAML file over what is in *c. */
ex_status ex_config_read(ex_config *c, const char *path);
/* `assignment` is "key=value", as given to -s; `origin` names it in messages ("-s"). */
ex_status ex_config_set(ex_config *c, const char *assignment, const char *origin);
/* Rules between fields (clients_per_round <= num_clients, ...). Call it after all sources. */
ex_status ex_config_check(const ex_config *c);
/* The same for one that came as bytes from another process, `origin`: also that each field holds what
 * its key accepts. EX_ERR_CONFIG naming the key. */
ex_status ex_config_check_received(const ex_config *c, const char *origin);
/* Whether a run that began with *before may go on with *now: EX_ERR_CONFIG naming the first key
 * that would change what is trained. `unlearning`: the run is one of `excise unlearn`, which the
 * section unlearn and the rounds of training shape too. */
ex_status ex_config_check_resume(const ex_config *before, const ex_config *now, bool unlearning);
/* The keys by which that is told, as {key: text}, for what a run keeps; NULL: no memory. */
json_t *ex_config_kept(const ex_config *c, bool unlearning);
/* The same check against what was kept: what a config.yaml was changed to since is seen as well.
 * Keys that `kept` lacks are not compared. */
ex_status ex_config_check_kept(const json_t *kept, const ex_config *now, bool unlearning);
/* The resolved configuration as YAML, every key, with its help as a comment. */
ex_status ex_config_write(const ex_config *c, const char *path);
/* The reference: key, type or choices, range, default, help. markdown: as a table. */
void ex_config_print_reference(FILE *out, bool markdown);
/* Value of a key as config.yaml has it; at most EX_TEXT_MAX bytes. */
void ex_config_text(const ex_config *c, const char *key, char *text, size_t room);
/* Value of an enumerated key as the text that the file uses ("batched"), for reports. */
const char *ex_config_choice(const ex_config *c, const char *key);
/* The same of a value by itself, and back: -1 for a text that is none of the key's. */
const char *ex_choice_name(const char *key, int value);
int ex_choice_find(const char *key, const char *name);

#endif
