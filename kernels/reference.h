/* Plain references of every operation in kernels.h: loops over the definition, one element at a
 * time, without blocks of work, threads or tricks. For tests only; they share no code with what
 * they check. Arguments are the operations' own, less the stream. */
#ifndef EX_KERNELS_REFERENCE_H
#define EX_KERNELS_REFERENCE_H

#include "kernels.h"

/* Where element (n, c, y, x) of a (N, C, H, W) tensor lies in the layout `block`. */
size_t ex_ref_offset(int n, int c, int y, int x, int C, int H, int W, int block);

/* Word `index` of a stream. */
uint32_t ex_ref_word(const ex_draws *draws, size_t index);

/* The other references have maps of float32 alone: what an operation makes of bf16 maps is the same
 * but for this one at both ends. */
void ex_convert_ref(void *out, ex_map_type out_type, const void *in, ex_map_type in_type, size_t n);
void ex_batch_gather_ref(float *out, const uint8_t *images, const uint32_t *index,
                         const ex_gather_shape *g);
/* In float64, rounded once at the end. */
void ex_softmax_xent_ref(float *dlogits, float *loss, int32_t *predicted, const float *logits,
                         const uint16_t *label, int N, int K, float grad_scale);
void ex_feed_next_ref(uint32_t *index_out, uint16_t *label_out, const ex_feed_state *state,
                      const uint32_t *index, const uint16_t *label, int N);
void ex_feed_log_ref(float *loss_log, int32_t *predicted_log, ex_feed_state *state,
                     const float *loss, const int32_t *predicted, int N);
void ex_sgd_segments_ref(float *params, float *velocity, const float *grads,
                         const ex_segment *segments, size_t segment_count, ex_sgd_coeff c);
void ex_segments_pack_ref(float *packed, const float *flat, const ex_segment *segments,
                          size_t segment_count);
void ex_segments_unpack_ref(float *flat, const float *packed, const ex_segment *segments,
                            size_t segment_count);
void ex_accumulate_fixed_ref(int64_t *acc, uint64_t *outside, const float *x, double weight,
                             size_t n);
void ex_norm_fold_ref(float *weight_out, float *bias_out, const float *weight, const float *bias,
                      const float *scale, const float *shift, const float *mean, const float *var,
                      float eps, const int32_t *channel, int channels, size_t row);
void ex_norm_fold_bwd_ref(const ex_norm_fold_gradient *g, const int32_t *channel, int channels);
void ex_norm_running_ref(float *running_mean, float *running_var, const float *batch_mean,
                         const float *batch_var, const uint8_t *selected, size_t count,
                         float momentum, int C);
/* In float64; statistics and results are rounded once at the end. The backward pass takes mean and
 * var as the forward pass left them. */
void ex_norm_train_fwd_ref(float *y, const float *x, const float *residual, const ex_norm_train *n);
void ex_norm_train_bwd_ref(const ex_norm_train_gradient *g, const ex_norm_train *n);
void ex_add_relu_fwd_ref(float *out, const float *a, const float *b, size_t n);
void ex_add_relu_bwd_ref(float *dx, const float *g1, const float *g2, const float *y, size_t n);
void ex_shortcut_a_fwd_ref(float *out, const float *in, const ex_map_shape *in_shape, int K,
                           int out_block, int stride);
void ex_shortcut_a_bwd_ref(float *din, const float *dout, const ex_map_shape *in_shape, int K,
                           int out_block, int stride);
void ex_maxpool_fwd_ref(float *y, int8_t *index, const float *x, const ex_pool_shape *p);
void ex_maxpool_bwd_ref(float *dx, const float *dy, const int8_t *index, const ex_pool_shape *p);
void ex_avgpool_fwd_ref(float *y, const float *x, const ex_pool_shape *p);
void ex_avgpool_bwd_ref(float *dx, const float *dy, const ex_pool_shape *p);
void ex_conv_rows_bwd_ref(float *dw, float *dsum, const float *x, const float *dy,
                          const int32_t *row, int rows, const ex_conv_shape *c);
void ex_flatten_fwd_ref(float *out, const float *in, const ex_map_shape *shape,
                        const ex_dropout *drop);
void ex_flatten_bwd_ref(float *din, const float *dout, const ex_map_shape *shape,
                        const ex_dropout *drop);
void ex_channel_ablate_ref(float *out, const float *in, const float *residual,
                           const int32_t *channel, const float *fill, int relu, int V,
                           const ex_map_shape *shape);
void ex_conv_channel_update_ref(float *out, const float *pre, const float *weight,
                                const ex_channel_change *change, const ex_conv_shape *c, int relu);

#endif
