/* A model = a description (a small graph of nodes) + two flat float32 vectors.
 *
 * The description is made by a function per architecture (one row in the table of models.c, one
 * file per family) and says where each tensor lies in the vectors: `params` holds every trainable
 * value, `stats` every batch-norm running statistic. It owns no values. Filters lie K,R,S,C, so
 * that a channel's filter is one segment; files hold PyTorch's K,C,R,S (model_file.h converts). */
#ifndef EX_MODEL_H
#define EX_MODEL_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EX_NONE          ((size_t)-1) /* an offset that does not exist */
#define EX_NORM_EPS      1e-5f
#define EX_NORM_MOMENTUM 0.1f

enum { EX_NAME_MAX = 64 };

typedef enum ex_op {
    EX_OP_INPUT,
    EX_OP_CONV,       /* convolution, then batch norm if it has one, + residual, ReLU if relu */
    EX_OP_LINEAR,     /* matrix product + bias, ReLU if relu */
    EX_OP_MAXPOOL,    /* window R x S, stride */
    EX_OP_AVGPOOL,    /* window R x S, stride; the global pool is one with R = H, S = W */
    EX_OP_SHORTCUT_A, /* subsample by stride, zero channels on both sides up to K; no weights */
} ex_op;

enum { EX_OPS = EX_OP_SHORTCUT_A + 1 };

/* A node computes one tensor (N, K, out_H, out_W) from the tensors of earlier nodes. Linear nodes
 * have H = W = 1 and see their input flattened, in the order c, h, w. */
typedef struct ex_node {
    ex_op op;
    int input;    /* node index; -1 for the input node */
    int residual; /* node whose tensor is added before the ReLU, or -1 */
    int layer;    /* index into layers, or -1 */
    int C, H, W, K, out_H, out_W;
    int R, S, stride, pad;
    bool relu;
    float dropout; /* LINEAR, in training: probability that a value it reads is dropped */
} ex_node;

/* A layer with channels that can be ablated, selected and trained: conv or linear. Offsets are into
 * params (weight, bias, scale, shift) or stats (mean, var); EX_NONE where there is none. */
typedef struct ex_layer {
    char name[EX_NAME_MAX];      /* "layer3.block_2.conv_bn2.conv" */
    char norm_name[EX_NAME_MAX]; /* "layer3.block_2.conv_bn2.bn", or "" */
    int node;
    int channels;        /* K */
    size_t row;          /* floats of one filter row, R * S * C */
    size_t weight;       /* (K, R, S, C); linear: (K, C * H * W) */
    size_t bias;         /* (K) */
    size_t scale, shift; /* (K) batch norm's weight and bias */
    size_t mean, var;    /* (K) running statistics */
    int first_channel;   /* index of its channel 0 when all layers' channels are counted through */
} ex_layer;

typedef enum ex_tensor_kind {
    EX_TENSOR_CONV_WEIGHT, /* in params, K,R,S,C */
    EX_TENSOR_VALUE,       /* in params, any other */
    EX_TENSOR_STAT,        /* in stats */
} ex_tensor_kind;

/* A row of the parameter table: what a file calls a tensor, and where it lies. */
typedef struct ex_tensor {
    char name[EX_NAME_MAX + 16];
    ex_tensor_kind kind;
    int layer;
    int ndim;
    int shape[4]; /* as PyTorch has it: conv weights K,C,R,S */
    size_t offset, size;
} ex_tensor;

typedef struct ex_model {
    char name[EX_NAME_MAX];
    int classes, in_channels, in_height, in_width; /* after padding by the data set's pad */
    ex_node *nodes;
    int node_count; /* the last node gives the logits */
    ex_layer *layers;
    int layer_count;
    ex_tensor *tensors;
    int tensor_count;
    size_t param_count, stat_count;
    int channel_count; /* over all layers */
} ex_model;

/* What a model is made for. Heights and widths are those of the stored images; a model that needs
 * another size (vgg11: 32) sets in_height and in_width itself. */
typedef struct ex_model_shape {
    int classes, channels, height, width;
} ex_model_shape;

/* name: see ex_model_names. EX_ERR_CONFIG for an unknown name or a shape that it cannot take. */
ex_status ex_model_create(ex_model **out, const char *name, ex_model_shape shape);
void ex_model_destroy(ex_model **model);
/* NULL-terminated list of the architectures. */
const char *const *ex_model_names(void);
/* What the names and shapes of an architecture's tensors do not tell, for who brings a file. */
const char *ex_model_about(const char *name);

/* Index of the layer of that name, or -1. */
int ex_model_find_layer(const ex_model *model, const char *name);
/* The layer that `channel` belongs to, 0 <= channel < channel_count. */
const ex_layer *ex_model_layer_of(const ex_model *model, int channel);

/* PyTorch's default initialisation: Kaiming uniform with a = sqrt(5) for conv and linear weights,
 * which is U(-1/sqrt(fan_in), 1/sqrt(fan_in)), the same bound for biases; norm scale 1, shift 0,
 * mean 0, variance 1. params (param_count), stats (stat_count). */
void ex_model_init(const ex_model *model, uint64_t seed, float *params, float *stats);

/* Digest of architecture and values: the same model gives the same number. */
uint64_t ex_model_digest(const ex_model *model, const float *params, const float *stats);

/* EX_ERR_INPUT naming the first tensor that holds a NaN or an infinity. */
ex_status ex_model_check_finite(const ex_model *model, const float *params, const float *stats);

/* FLOPs of one image: forward (convolutions and linear layers, 2 per multiply-add). */
double ex_model_flops(const ex_model *model);

#endif
