/* Every key of the configuration, once. Order here is the order in config.yaml and in --help. */
#include "config_fields.h"

#include "base/rng.h"

#include <limits.h>

#define AT(member)         .offset = offsetof(ex_config, member), .size = sizeof((ex_config *)0)->member
#define TEXT(name, member) .key = name, .type = EX_FIELD_TEXT, AT(member)
#define BOOL(name, member) .key = name, .type = EX_FIELD_BOOL, AT(member)
#define CHOICE(name, member, ...)                                                                  \
    .key = name, .type = EX_FIELD_CHOICE, AT(member), .choices = (const char *const[])             \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }
#define NUMBER(name, member, kind, low, high)                                                      \
    .key = name, .type = kind, AT(member), .min = low, .max = high
#define INT(name, member, low, high)   NUMBER(name, member, EX_FIELD_INT, low, high)
#define REAL(name, member, low, high)  NUMBER(name, member, EX_FIELD_REAL, low, high)
#define REALS(name, member, low, high) NUMBER(name, member, EX_FIELD_REALS, low, high)
#define SAMPLES(name, member, low)     NUMBER(name, member, EX_FIELD_SIZE, low, UINT32_MAX)
#define RESUMABLE                      .resumable = true
#define DEFAULT(text, about)           .default_text = text, .help = about

/* Limits of the random streams' coordinates (rng.h), and of a label. */
enum {
    CLIENTS_MAX = EX_RNG_CLIENTS - 1,
    EPOCHS_MAX = EX_RNG_EPOCHS - 1,
    ROUNDS_MAX = EX_RNG_ROUNDS - 1,
    CLASS_MAX = 65534,
    BATCH_MAX = 1 << 16,
    THREADS_MAX = 1024,
    LAUNCH_STEPS_MAX = 512, /* what a device is given at once */
};

/* Methods are above the engine (ex_methods of unlearn/method.h); a test holds the two together. */
static const char *const *method_names(void)
{
    static const char *const names[] = {"ce", "de", "de-random", "head", "retrain", NULL};
    return names;
}

/* clang-format off */
static const ex_field fields[] = {
    {TEXT("dataset", dataset), .names = ex_dataset_names, DEFAULT("fashion-mnist", "the data set")},
    {TEXT("data_dir", data_dir), RESUMABLE, DEFAULT("", "folder of the data files; empty: search the usual places")},
    {TEXT("model", model), .names = ex_model_names, DEFAULT("resnet20", "the architecture")},
    {SAMPLES("train_samples", train_samples, 0), DEFAULT("0", "training samples kept, drawn by seed; 0: all")},
    {SAMPLES("test_samples", test_samples, 0), DEFAULT("0", "test samples kept, drawn by seed; 0: all")},
    {NUMBER("seed", seed, EX_FIELD_SEED, 0, 9223372036854775807.0), DEFAULT("1", "names every random draw of the run")},
    {CHOICE("images.color", images.color, "rgb", "grey"), DEFAULT("rgb", "folder: channels that pictures are read with")},
    {REAL("images.test_share", images.test_share, 0, 1), .below_max = true, DEFAULT("0.2", "folder without train and test: share of each class that is for tests, drawn by seed")},
    {REALS("normalize.mean", normalize.mean, -10, 10), DEFAULT("[]", "subtracted from pixels in 0..1, a number for each channel or one for all; []: the data set's own")},
    {REALS("normalize.std", normalize.std, 0, 10), .above_min = true, DEFAULT("[]", "what pixels are divided by after that; []: the data set's own")},
    {INT("augment.crop", augment.crop, 0, 4096), DEFAULT("0", "training: images are moved by up to so many pixels each way, on black")},
    {INT("augment.cutout", augment.cutout, 0, 4096), DEFAULT("0", "training: side of a square that is blanked in each image")},
    {BOOL("augment.flip", augment.flip), DEFAULT("false", "training: each image is mirrored or not, with equal chance")},

    {INT("num_clients", num_clients, 1, CLIENTS_MAX), DEFAULT("10", "clients in the federation")},
    {INT("clients_per_round", clients_per_round, 0, CLIENTS_MAX), DEFAULT("0", "clients sampled in a round; 0: all")},
    {INT("rounds", rounds, 1, ROUNDS_MAX), RESUMABLE, DEFAULT("50", "rounds of training")},
    {INT("local_epochs", local_epochs, 1, EPOCHS_MAX), DEFAULT("5", "epochs that a client trains in a round")},
    {INT("batch_size", batch_size, 1, BATCH_MAX), DEFAULT("128", "samples in a client's step")},
    {REAL("lr", lr, 0, 1000), .above_min = true, DEFAULT("0.1", "learning rate of training")},
    {REAL("momentum", momentum, 0, 1), .below_max = true, DEFAULT("0.9", "momentum of SGD")},
    {REAL("weight_decay", weight_decay, 0, 1000), DEFAULT("5e-4", "L2 penalty on every trained value")},
    {CHOICE("weighting", weighting, "samples", "uniform"), DEFAULT("samples", "weight of a client in the average: its samples, or 1/n")},
    {CHOICE("aggregation", aggregation, "fedavg", "fedavgm"), DEFAULT("fedavg", "what the server makes of a round's average: the new model, or a step with the server's momentum")},

    {CHOICE("partition.kind", partition.kind, "iid", "shard", "pathological", "dirichlet-client", "dirichlet-class"),
     DEFAULT("iid", "how the training samples are split over clients")},
    {REAL("partition.alpha", partition.alpha, 0, 1e6), .above_min = true, DEFAULT("0.5", "concentration of the two dirichlet kinds")},
    {INT("partition.classes_per_client", partition.classes_per_client, 1, CLASS_MAX), DEFAULT("1", "pathological: classes that a client holds")},
    {INT("partition.shards_per_client", partition.shards_per_client, 1, CLASS_MAX), DEFAULT("2", "shard: label-sorted shards that a client holds")},

    {SAMPLES("server.samples", server.samples, 1), DEFAULT("1600", "training samples that the server holds")},
    {BOOL("server.overlap", server.overlap), DEFAULT("true", "the server's samples stay with the clients too")},
    {INT("server.threads", server.threads, 1, THREADS_MAX), DEFAULT("2", "threads of the server's lane")},
    {REAL("server.lr", server.lr, 0, 1000), .above_min = true, DEFAULT("1", "fedavgm: learning rate of the server's step")},
    {REAL("server.momentum", server.momentum, 0, 1), .below_max = true, DEFAULT("0.9", "fedavgm: share of its last step that the server adds to the average, so that steps grow to 1 / (1 - share) times it and want a lower server.lr; running statistics are averaged without")},

    {TEXT("unlearn.method", unlearn.method), .names = method_names, RESUMABLE, DEFAULT("de", "how the class is removed")},
    {INT("unlearn.class", unlearn.class_label, -1, CLASS_MAX), RESUMABLE, DEFAULT("-1", "the class that goes; -1: not given"),
     .hint = "the option --class takes the data set's names too"},
    {REAL("unlearn.delta", unlearn.delta, 0, 1), .above_min = true, RESUMABLE, DEFAULT("0.05", "share of each layer's channels that is fine-tuned")},
    {CHOICE("unlearn.layers", unlearn.layers, "all", "conv", "head"), RESUMABLE, DEFAULT("all", "layers that channels are selected in")},
    {INT("unlearn.seed", unlearn.seed, -1, INT_MAX), RESUMABLE, DEFAULT("-1", "names the random draws of unlearning, with the data and clients that seed gives; -1: seed")},
    {CHOICE("unlearn.relabel", unlearn.relabel, "once", "each"), RESUMABLE, DEFAULT("once", "draw wrong labels once, or in every epoch (ce, head) or round (de)")},
    {CHOICE("unlearn.bn", unlearn.norm, "train", "frozen"), RESUMABLE, DEFAULT("train", "batch norm while fine-tuning: by the batch, or by running statistics")},
    {REAL("unlearn.lr", unlearn.lr, 0, 1000), .above_min = true, RESUMABLE, DEFAULT("0.01", "learning rate of fine-tuning")},
    {REAL("unlearn.stop_forget", unlearn.stop_forget, -1, 1), RESUMABLE, DEFAULT("0.01", "stop at this accuracy on the class's probe set; below 0: never")},
    {INT("unlearn.rounds", unlearn.rounds, 1, ROUNDS_MAX), RESUMABLE, DEFAULT("10", "de: rounds at most")},
    {INT("unlearn.local_epochs", unlearn.local_epochs, 0, EPOCHS_MAX), RESUMABLE, DEFAULT("0", "de: epochs of a client in a round; 0: as in training")},
    {INT("unlearn.epochs", unlearn.epochs, 1, EPOCHS_MAX), RESUMABLE, DEFAULT("10", "ce and head: epochs at most")},
    {INT("unlearn.batch_size", unlearn.batch_size, 1, BATCH_MAX), RESUMABLE, DEFAULT("64", "ce and head: samples in a step")},
    {INT("unlearn.probe", unlearn.probe, 1, 1000000), RESUMABLE, DEFAULT("256", "samples of the class that channel effects are measured on")},
    {CHOICE("unlearn.ablate", unlearn.ablate, "filter", "activation"), RESUMABLE, DEFAULT("filter", "what is zeroed: the filter row, or the layer's output map")},
    {CHOICE("unlearn.strategy", unlearn.strategy, "naive", "streams", "batched"), RESUMABLE, DEFAULT("batched", "how ablated channels are evaluated")},
    {INT("unlearn.variants", unlearn.variants, 0, 65536), RESUMABLE, DEFAULT("0", "ablated channels in one batch; 0: as many as fill one that the cache holds, fewer where memory is short")},

    {TEXT("device", device), DEFAULT("auto", "auto, cpu, cuda or cuda:N")},
    {CHOICE("precision", precision, "fp32", "tf32", "bf16"), DEFAULT("fp32", "precision of convolutions and matrix products")},
    {CHOICE("conv", conv, "auto", "direct"), DEFAULT("auto", "convolution algorithms: timed and chosen, or direct only")},
    {INT("lanes", lanes, 0, THREADS_MAX), RESUMABLE, DEFAULT("0", "clients trained at once on the device; 0: as many as fill it, on a GPU as its memory holds")},
    {INT("threads_per_lane", threads_per_lane, 1, THREADS_MAX), DEFAULT("1", "threads of a client's lane")},
    {INT("steps_per_launch", steps_per_launch, 1, LAUNCH_STEPS_MAX), RESUMABLE, DEFAULT("8", "cuda: training steps that are recorded once and launched together; 1: each by itself")},
    {.key = "memory", .type = EX_FIELD_BYTES, AT(memory), RESUMABLE, DEFAULT("0", "memory that plans and their lanes' scratch may take in all, which ablation and evaluation shrink to; 0: no limit. Not in it: each lane's values (three times the model), data sets, logits that are kept")},
    {CHOICE("comm", comm.kind, "auto", "local", "mpi", "nccl"), RESUMABLE, DEFAULT("auto", "how processes that share the work talk; auto: nccl where each has a GPU, mpi where none has, local for one process")},
    {REAL("comm_timeout", comm.timeout, 0, 1e6), .above_min = true, RESUMABLE, DEFAULT("1800", "seconds that a process waits for the others to finish a round; while the first works alone (evaluation, ablation), however long, it tells the others that it lives")},
    {TEXT("comm_file", comm.file), RESUMABLE, DEFAULT("", "nccl: file by which processes meet, on a disk that all see; empty: beside the run")},
    {.key = NULL},
};
/* clang-format on */

const ex_field *ex_fields(void)
{
    return fields;
}
