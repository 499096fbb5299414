/* Every operation that excise implements itself, as one table of functions with one instance per
 * device: `ex_kernels_host` here, `ex_kernels_cuda` (table_cuda.h) in the CUDA module. Callers
 * never name an instance's functions; they reach them as `k->op_dir(...)`.
 *
 * Argument order: outputs, inputs, sizes, stream. Kernels cannot fail: whoever calls them has
 * checked the sizes. Sizes of zero are allowed and do nothing. No kernel allocates. An image has
 * fewer than 2^31 elements.
 *
 * On the CUDA instance every pointer to data is a device pointer: vectors, images, indexes, labels,
 * channels, and the segment list too. Only the descriptions (ex_gather_shape, ex_augment,
 * ex_map_shape, ex_conv_shape, ex_pool_shape, ex_dropout, ex_norm_train, ex_planes, ex_norm_train_gradient,
 * ex_norm_fold_gradient, ex_channel_change) are read on the host, before the call returns; the
 * vectors and maps inside are device pointers. The call returns when the work is queued: data must
 * stay until it ran. Pointers that are multiples of 16 bytes are faster, others are correct. A
 * launch that fails is kept: ex_kernels_cuda_error (table_cuda.h).
 *
 * Legend for shapes, used in the whole project:
 *   N batch   C channels in   K channels out (classes for logits)   H W map   R S filter
 *   V ablated variants   P parameters
 *
 * Activation layout. One number, `block`, describes every layout in use: element (n, c, p), with p
 * the pixel h * W + w, lies at
 *     n*C*H*W + (c / block)*H*W*block + p*block + c % block
 * so block = 1 is NCHW, block = C is NHWC and block = 16 is oneDNN's nChw16c. C is a multiple of
 * block.
 *
 * Type of maps. Maps (activations and their gradients) are float32 or bf16, as the description's
 * `type` says: void pointers, all maps of a call alike. Everything else is float32: filters,
 * coefficients, statistics, logits and their gradient, gradients of values, scratch. A value of a
 * bf16 map is read exactly, the operation computes in float32, and what it stores in a map is
 * rounded once, to nearest, ties to even; a NaN stays one. */
#ifndef EX_KERNELS_H
#define EX_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where an operation runs. Host: `threads` threads of the caller's OpenMP team. CUDA: `queue` is a
 * cudaStream_t, and `threads` is ignored. */
typedef struct ex_stream {
    int threads;
    void *queue;
} ex_stream;

/* What a map's values are. bf16: the upper half of a float32. */
typedef enum ex_map_type { EX_MAP_F32, EX_MAP_BF16 } ex_map_type;

static inline size_t ex_map_type_bytes(ex_map_type type)
{
    return type == EX_MAP_BF16 ? 2 : 4;
}

/* A run of floats [offset, offset + length) in a flat vector; lists are sorted and disjoint. */
typedef struct ex_segment {
    size_t offset;
    size_t length;
} ex_segment;

/* A stream of random words, Philox4x32-10: four words a block, block i at counter[0] + i. */
typedef struct ex_draws {
    uint32_t key[2], counter[4];
    /* Three words where the operation's data lie (on CUDA: in device memory) that are added to
     * counter[1] to counter[3] when it runs; NULL: none. So a launch that is recorded once draws
     * other numbers in each step. */
    const uint32_t *at;
} ex_draws;

/* Where a feed stands, for steps that are recorded once and run often; it lies where data lie. */
typedef struct ex_feed_state {
    uint32_t at;       /* the feed's sample that is next */
    uint32_t words[3]; /* ex_draws.at of that step: words[0] counts on with the steps */
} ex_feed_state;

/* Random views of a batch's images; block n of the draws is image n's. 0 turns each off. */
typedef struct ex_augment {
    int crop;   /* moved by up to so many pixels up, down, left and right */
    int flip;   /* 1: mirrored, left for right, with probability 1/2 */
    int cutout; /* side of a square of the output that is 0; its centre lies anywhere on it */
    ex_draws draws;
} ex_augment;

/* Geometry of a batch made from stored images: C x H x W bytes each, planar, placed at (top, left)
 * of an output map out_H x out_W. Pixels outside the image count as stored zeros (black). */
typedef struct ex_gather_shape {
    int N, C, H, W;
    int out_H, out_W, top, left;
    int block;                 /* layout of the output; C must be a multiple */
    ex_map_type type;          /* of the output */
    const float *scale;        /* (C) out = byte * scale[c] + shift[c] */
    const float *shift;        /* (C) */
    const ex_augment *augment; /* of the host, read before the call returns; NULL: none */
} ex_gather_shape;

/* Shape of an activation tensor in a blocked layout. */
typedef struct ex_map_shape {
    int N, C, H, W;
    int block;
    ex_map_type type;
} ex_map_shape;

/* A convolution's tensors: in (N, C, H, W), out (N, K, out_H, out_W), both maps of in.type,
 * filters (K, R, S, C). Output (h, w) reads the input from (h * stride - pad, w * stride - pad) on;
 * outside of it are zeros. */
typedef struct ex_conv_shape {
    ex_map_shape in;
    int K, out_H, out_W, out_block;
    int R, S, stride, pad;
} ex_conv_shape;

/* A pool's tensors: in (N, C, H, W), out (N, C, out_H, out_W) in the same block. Output (h, w)
 * reads the window from (h * stride - pad, w * stride - pad) on; each holds a value of the map. */
typedef struct ex_pool_shape {
    ex_map_shape in;
    int out_H, out_W;
    int R, S, stride, pad;
} ex_pool_shape;

/* Each value is dropped with probability `rate`, 0 to below 1; word i is drawn for value i. */
typedef struct ex_dropout {
    float rate;
    ex_draws draws;
} ex_dropout;

/* Sums over clients in fixed point: steps of 2^-40 = 9.1e-13, against 7.5e-9 between neighbouring
 * float32 around 0.1, for what is at most 2^22 = 4.2e6 in magnitude. */
enum { EX_FIXED_BITS = 40, EX_FIXED_MAX = 1 << (62 - EX_FIXED_BITS) };

typedef struct ex_sgd_coeff {
    float lr, momentum, weight_decay;
    int nesterov; /* 0 or 1 */
} ex_sgd_coeff;

/* Batch norm of a training step with what stands around it fused in: residual, ReLU, sums of
 * gradients.
 *
 *   y  = max(a (x - mean) + shift + residual, 0)              a = scale / sqrt(var + eps)
 *   g  = (g1 + g2) where y > 0       dshift = sum g           dscale = sum g (x - mean) a / scale
 *   dx = a g - a dshift / M - (x - mean) a dscale / (M sqrt(var + eps)),           M = N * H * W
 *
 * Norms by fixed statistics are folded into their convolution instead: norm_fold. */
typedef struct ex_norm_train {
    ex_map_shape shape;         /* the host instance takes the blocks 1, 2, 4, 8 and 16 alone */
    const float *scale, *shift; /* (C) */
    float *mean, *var;          /* (C) of the batch (var biased): outputs of norm_train_fwd, inputs
                                   of norm_train_bwd */
    float eps;
    int relu;
    float *scratch; /* norm_train_scratch floats; holds nothing between calls */
} ex_norm_train;

/* Some channels of a map, float32: out (N, channels, H, W). */
typedef struct ex_planes {
    const int32_t *channel; /* (channels) */
    int channels;
    float *out;
} ex_planes;

typedef struct ex_norm_train_gradient {
    void *dx;               /* (N, C, H, W) "="; may be g1 unless keep */
    float *dscale, *dshift; /* (C) "=" */
    void *g1;       /* (N, C, H, W) gradient of y; becomes g if keep, else stays unless dx */
    const void *g2; /* (N, C, H, W) a second one, or NULL; needs keep */
    const void *x;  /* (N, C, H, W) as given to norm_train_fwd */
    const void *y;  /* (N, C, H, W) its output, where it had a residual and a ReLU: needs keep; else
                        NULL, and where the ReLU passes follows from x */
    int keep;
    const ex_planes *planes; /* "=" of dx too, while it is in a cache; NULL: none. On the host */
} ex_norm_train_gradient;

/* V variants of a map, each with one channel replaced as channel_ablate does it. */
typedef struct ex_channel_change {
    const void *in, *residual; /* (N, C, H, W) in one layout; residual may be NULL */
    const int32_t *channel;    /* (V), -1 for no change */
    const float *fill;         /* (V) */
    int relu, V;
} ex_channel_change;

/* Gradients behind a norm that norm_fold put into the filters of K channels, `row` floats each. */
typedef struct ex_norm_fold_gradient {
    float *dweight;        /* (K, row) that of weight_out becomes that of weight */
    float *dscale, *dbias; /* (K) "="; dbias NULL where there is no bias */
    const float *dshift;   /* (K) that of bias_out, which is shift's too */
    const float *weight, *bias, *scale, *mean, *var; /* as norm_fold read them */
    float eps;
    size_t row;
} ex_norm_fold_gradient;

typedef struct ex_kernels {
    const char *name; /* "host" or "cuda" */

    /* --- types ------------------------------------------------------------------------------ */

    /* out[i] = in[i], n values of one type as another. out is not in. */
    void (*convert)(void *out, ex_map_type out_type, const void *in, ex_map_type in_type, size_t n,
                    ex_stream s);

    /* --- batch ------------------------------------------------------------------------------ */

    /* out[n] = normalised, padded image index[n]. One pass over the batch.
     * out (N, C, out_H, out_W) in g->block; images (count, C, H, W); index (N), each < count.
     * An image may reach beyond the output, top and left may be negative: it is cropped.
     * g->augment moves and mirrors each image in its place, on black, and cuts a square out. */
    void (*batch_gather)(void *out, const uint8_t *images, const uint32_t *index,
                         const ex_gather_shape *g, ex_stream s);

    /* --- loss ------------------------------------------------------------------------------- */

    /* Softmax + cross-entropy + prediction in one pass, numerically safe for any finite logits.
     * dlogits (N, K) "=": grad_scale * (softmax - onehot(label)); NULL skips it.
     * loss (N) "=": -log softmax[label]; NULL skips it. predicted (N) "=": the lowest index among
     * the largest logits (PyTorch's argmax on CPU); NULL skips it.
     * logits (N, K) row-major; label (N), each < K. A NaN logit gives the sample a NaN loss, a NaN
     * gradient and -1 as its prediction. dlogits may be logits. */
    void (*softmax_xent)(float *dlogits, float *loss, int32_t *predicted, const float *logits,
                         const uint16_t *label, int N, int K, float grad_scale, ex_stream s);

    /* --- feed ------------------------------------------------------------------------------- */

    /* index_out, label_out (N) "=" those of the step that *state names: index[state->at + i]. */
    void (*feed_next)(uint32_t *index_out, uint16_t *label_out, const ex_feed_state *state,
                      const uint32_t *index, const uint16_t *label, int N, ex_stream s);
    /* The reverse: that step's places of loss_log, predicted_log "=" loss, predicted (N). Then
     * *state names the next step, N samples on. */
    void (*feed_log)(float *loss_log, int32_t *predicted_log, ex_feed_state *state,
                     const float *loss, const int32_t *predicted, int N, ex_stream s);

    /* --- optimizer -------------------------------------------------------------------------- */

    /* SGD as torch.optim.SGD writes it, dampening 0: g += wd*p; v = mu*v + g; p -= lr*(nesterov ?
     * g + mu*v : v). Only elements inside the segments are read or written.
     * params, velocity, grads: (P) flat vectors. */
    void (*sgd_segments)(float *params, float *velocity, const float *grads,
                         const ex_segment *segments, size_t segment_count, ex_sgd_coeff c,
                         ex_stream s);

    /* --- messages --------------------------------------------------------------------------- */

    /* packed[...] = the segments' values, in order; and the reverse. packed has the sum of the
     * segments' lengths. Unpacking leaves everything outside the segments as it was. */
    void (*segments_pack)(float *packed, const float *flat, const ex_segment *segments,
                          size_t segment_count, ex_stream s);
    void (*segments_unpack)(float *flat, const float *packed, const ex_segment *segments,
                            size_t segment_count, ex_stream s);

    /* The sum over clients, in fixed point, whose order changes nothing:
     *   acc[i] += rint(weight * x[i] * 2^EX_FIXED_BITS),   (n), ties to even
     * weight 0 to 1. An x that is not finite, or above EX_FIXED_MAX in magnitude, adds nothing and
     * is counted: *outside += their number. Sums of weights that add up to 1 cannot overflow. The
     * sum over K clients is within K * 2^-(EX_FIXED_BITS + 1) of the exact one, and 2^-53 of it. */
    void (*accumulate_fixed)(int64_t *acc, uint64_t *outside, const float *x, double weight,
                             size_t n, ex_stream s);

    /* --- batch norm ------------------------------------------------------------------------- */

    /* Folds a norm whose statistics are given into the filter before it, row by row, for each k in
     * channel (channels; distinct), or for the first `channels` where that is NULL:
     * r = scale / sqrt(var + eps); weight_out[k, :] = weight[k, :] * r[k];
     * bias_out[k] = shift[k] + (bias ? bias[k] - mean[k] : -mean[k]) * r[k].
     * weight, weight_out (K, row); the rest (K). weight_out may be weight. Other channels stay. */
    void (*norm_fold)(float *weight_out, float *bias_out, const float *weight, const float *bias,
                      const float *scale, const float *shift, const float *mean, const float *var,
                      float eps, const int32_t *channel, int channels, size_t row, ex_stream s);

    /* The reverse, for the same channels and with r as above:
     *   dscale[k] = (sum of weight[k, :] * dweight[k, :] + (bias[k] - mean[k]) * dshift[k])
     *               / sqrt(var[k] + eps)
     *   dbias[k] = dshift[k] * r[k]        dweight[k, :] = dweight[k, :] * r[k]
     * Other channels stay. The sums are made in float64. */
    void (*norm_fold_bwd)(const ex_norm_fold_gradient *g, const int32_t *channel, int channels,
                          ex_stream s);

    /* Running statistics as PyTorch keeps them: running += momentum * (batch - running), with the
     * batch variance (biased, over `count` values) made unbiased first (count 1 leaves it as it
     * is). selected (C) bytes, 0 leaves the channel untouched; NULL selects all. */
    void (*norm_running)(float *running_mean, float *running_var, const float *batch_mean,
                         const float *batch_var, const uint8_t *selected, size_t count,
                         float momentum, int C, ex_stream s);

    /* y (N, C, H, W) "=" the norm of x (N, C, H, W), + residual (N, C, H, W, or NULL), ReLU; all in
     * n->shape.block. mean and var "=" the batch's. A NaN stays one. */
    void (*norm_train_fwd)(void *y, const void *x, const void *residual, const ex_norm_train *n,
                           ex_stream s);
    /* The gradients of x, scale and shift, as ex_norm_train_gradient says. */
    void (*norm_train_bwd)(const ex_norm_train_gradient *g, const ex_norm_train *n, ex_stream s);
    /* Floats of scratch memory that both need for a shape. */
    size_t (*norm_train_scratch)(const ex_map_shape *shape);

    /* --- residual blocks -------------------------------------------------------------------- */

    /* out = max(a + b, 0), n elements of any layout (the same for all three); b may be NULL
     * (out = max(a, 0)), out may be a or b. A NaN stays one. */
    void (*add_relu_fwd)(void *out, const void *a, const void *b, size_t n, ex_map_type type,
                         ex_stream s);

    /* dx = (g1 + g2) where y > 0, else 0; g2 may be NULL; y NULL means no ReLU (dx = g1 + g2).
     * dx may be g1 or g2. n elements of any one layout. */
    void (*add_relu_bwd)(void *dx, const void *g1, const void *g2, const void *y, size_t n,
                         ex_map_type type, ex_stream s);

    /* Option-A shortcut: out (N, K, ceil(H/2), ceil(W/2)) "=" in (N, C, H, W) at even rows and
     * columns, its C channels placed after (K - C) / 2 channels of zeros, the rest zeros.
     * in_block, out_block: layouts. stride 1 or 2. */
    void (*shortcut_a_fwd)(void *out, const void *in, const ex_map_shape *in_shape, int K,
                           int out_block, int stride, ex_stream s);
    /* din (N, C, H, W) "+=" the gradient. */
    void (*shortcut_a_bwd)(void *din, const void *dout, const ex_map_shape *in_shape, int K,
                           int out_block, int stride, ex_stream s);

    /* --- pools ------------------------------------------------------------------------------ */

    /* y "=" the largest value of each window of x, of those within the map; a NaN is. index (as y)
     * "=" where it lay first, r * S + s; NULL skips it. R * S is at most 127. */
    void (*maxpool_fwd)(void *y, int8_t *index, const void *x, const ex_pool_shape *p, ex_stream s);
    /* dx (as in) "=" the gradient; windows that overlap add, in their order. */
    void (*maxpool_bwd)(void *dx, const void *dy, const int8_t *index, const ex_pool_shape *p,
                        ex_stream s);
    /* y "=" the mean of each window; no padding. dx "=" the gradient. */
    void (*avgpool_fwd)(void *y, const void *x, const ex_pool_shape *p, ex_stream s);
    void (*avgpool_bwd)(void *dx, const void *dy, const ex_pool_shape *p, ex_stream s);

    /* --- selected filters ------------------------------------------------------------------- */

    /* Gradient of a few filters. For each k in row (rows; distinct):
     *   dw[k, r, s, c] "=" sum of dy[n, k, h, w] * x[n, c, h*stride + r - pad, w*stride + s - pad]
     *   dsum[k]        "=" sum of dy[n, k, h, w]; dsum NULL skips it
     * Other filters of dw (K, R, S, C) and dsum (K) stay. x, dy: c's in and out. scratch:
     * conv_rows_scratch floats; on the host its first may be planes of dy's channels row[], and dy
     * is NULL then. A NaN stays one. */
    void (*conv_rows_bwd)(float *dw, float *dsum, const void *x, const void *dy, const int32_t *row,
                          int rows, const ex_conv_shape *c, float *scratch, ex_stream s);
    /* Floats of scratch memory that it needs. */
    size_t (*conv_rows_scratch)(const ex_conv_shape *c, int rows);

    /* --- linear layers ---------------------------------------------------------------------- */

    /* The rows that a linear layer reads: out (N, C * H * W) "=" in (N, C, H, W) in shape->block,
     * each row in the order c, h, w. drop: on the way each value becomes 0, or value / (1 - rate);
     * value i is out's element i. NULL: nothing is dropped. out is not in. */
    void (*flatten_fwd)(void *out, const void *in, const ex_map_shape *shape,
                        const ex_dropout *drop, ex_stream s);
    /* din (N, C, H, W) "=" the gradient, under the same drop. */
    void (*flatten_bwd)(void *din, const void *dout, const ex_map_shape *shape,
                        const ex_dropout *drop, ex_stream s);

    /* --- ablation --------------------------------------------------------------------------- */

    /* V copies of a map, each with one channel replaced. For variant v:
     *   out[v] = in, except channel c = channel[v]: fill[v] + (residual ? residual[.., c, ..] : 0),
     *   through max(., 0) if relu.
     * out (V, N, C, H, W); in, residual (N, C, H, W), all in shape->block; channel, fill (V).
     * channel[v] = -1 copies the map unchanged. */
    void (*channel_ablate)(void *out, const void *in, const void *residual, const int32_t *channel,
                           const float *fill, int relu, int V, const ex_map_shape *shape,
                           ex_stream s);

    /* What a convolution makes of such copies, from what it made of the map itself: with x' the
     * change to the convolution's input x = change->in, and c = channel[v],
     *   out[v, n, k, h, w] = pre[n, k, h, w]
     *       - sum of weight[c, r, s, k] * (x - x')[n, c, h*stride + r - pad, w*stride + s - pad],
     *   through max(., 0) if relu; out[v] = pre where channel[v] = -1.
     * out (V, N, K, out_H, out_W); pre (N, K, out_H, out_W), float32, with bias and residual but no
     * ReLU; weight (C, R, S, K), of the maps' type, as the convolution had it; scratch:
     * conv_channel_scratch floats. A NaN stays one. */
    void (*conv_channel_update)(void *out, const float *pre, const void *weight,
                                const ex_channel_change *change, const ex_conv_shape *c, int relu,
                                float *scratch, ex_stream s);
    /* Floats of scratch memory that it needs. */
    size_t (*conv_channel_scratch)(const ex_conv_shape *c, int V);
} ex_kernels;

extern const ex_kernels ex_kernels_host;

#ifdef __cplusplus
}
#endif
#endif
