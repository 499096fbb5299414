/* The CUDA instance of the operation table: what the CUDA back end needs of it, and what its files
 * share. Only the CUDA module and the tests link it. */
#ifndef EX_KERNELS_TABLE_CUDA_H
#define EX_KERNELS_TABLE_CUDA_H

#include "kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const ex_kernels ex_kernels_cuda;

/* The first launch that failed in this host thread since the last call, as a cudaError_t, with its
 * kernel and the launch's "file:line" (static texts; NULL: not wanted); 0 if none did. Errors of
 * work already launched show up later, as CUDA reports them. */
int ex_kernels_cuda_error(const char **kernel, const char **where);
/* Called after every launch: takes cudaGetLastError and keeps the first. */
void ex_kernels_cuda_keep_error(const char *kernel, const char *where);

void ex_convert_cuda(void *out, ex_map_type out_type, const void *in, ex_map_type in_type, size_t n,
                     ex_stream s);
void ex_batch_gather_cuda(void *out, const uint8_t *images, const uint32_t *index,
                          const ex_gather_shape *g, ex_stream s);
void ex_softmax_xent_cuda(float *dlogits, float *loss, int32_t *predicted, const float *logits,
                          const uint16_t *label, int N, int K, float grad_scale, ex_stream s);
void ex_feed_next_cuda(uint32_t *index_out, uint16_t *label_out, const ex_feed_state *state,
                       const uint32_t *index, const uint16_t *label, int N, ex_stream s);
void ex_feed_log_cuda(float *loss_log, int32_t *predicted_log, ex_feed_state *state,
                      const float *loss, const int32_t *predicted, int N, ex_stream s);
void ex_sgd_segments_cuda(float *params, float *velocity, const float *grads,
                          const ex_segment *segments, size_t segment_count, ex_sgd_coeff c,
                          ex_stream s);
void ex_segments_pack_cuda(float *packed, const float *flat, const ex_segment *segments,
                           size_t segment_count, ex_stream s);
void ex_segments_unpack_cuda(float *flat, const float *packed, const ex_segment *segments,
                             size_t segment_count, ex_stream s);
void ex_accumulate_fixed_cuda(int64_t *acc, uint64_t *outside, const float *x, double weight,
                              size_t n, ex_stream s);
void ex_norm_fold_cuda(float *weight_out, float *bias_out, const float *weight, const float *bias,
                       const float *scale, const float *shift, const float *mean, const float *var,
                       float eps, const int32_t *channel, int channels, size_t row, ex_stream s);
void ex_norm_fold_bwd_cuda(const ex_norm_fold_gradient *g, const int32_t *channel, int channels,
                           ex_stream s);
void ex_norm_running_cuda(float *running_mean, float *running_var, const float *batch_mean,
                          const float *batch_var, const uint8_t *selected, size_t count,
                          float momentum, int C, ex_stream s);
void ex_norm_train_fwd_cuda(void *y, const void *x, const void *residual, const ex_norm_train *n,
                            ex_stream s);
void ex_norm_train_bwd_cuda(const ex_norm_train_gradient *g, const ex_norm_train *n, ex_stream s);
size_t ex_norm_train_scratch_cuda(const ex_map_shape *shape);
void ex_add_relu_fwd_cuda(void *out, const void *a, const void *b, size_t n, ex_map_type type,
                          ex_stream s);
void ex_add_relu_bwd_cuda(void *dx, const void *g1, const void *g2, const void *y, size_t n,
                          ex_map_type type, ex_stream s);
void ex_shortcut_a_fwd_cuda(void *out, const void *in, const ex_map_shape *in_shape, int K,
                            int out_block, int stride, ex_stream s);
void ex_shortcut_a_bwd_cuda(void *din, const void *dout, const ex_map_shape *in_shape, int K,
                            int out_block, int stride, ex_stream s);
void ex_maxpool_fwd_cuda(void *y, int8_t *index, const void *x, const ex_pool_shape *p,
                         ex_stream s);
void ex_maxpool_bwd_cuda(void *dx, const void *dy, const int8_t *index, const ex_pool_shape *p,
                         ex_stream s);
void ex_avgpool_fwd_cuda(void *y, const void *x, const ex_pool_shape *p, ex_stream s);
void ex_avgpool_bwd_cuda(void *dx, const void *dy, const ex_pool_shape *p, ex_stream s);
void ex_conv_rows_bwd_cuda(float *dw, float *dsum, const void *x, const void *dy,
                           const int32_t *row, int rows, const ex_conv_shape *c, float *scratch,
                           ex_stream s);
size_t ex_conv_rows_scratch_cuda(const ex_conv_shape *c, int rows);
void ex_flatten_fwd_cuda(void *out, const void *in, const ex_map_shape *shape,
                         const ex_dropout *drop, ex_stream s);
void ex_flatten_bwd_cuda(void *din, const void *dout, const ex_map_shape *shape,
                         const ex_dropout *drop, ex_stream s);
void ex_channel_ablate_cuda(void *out, const void *in, const void *residual, const int32_t *channel,
                            const float *fill, int relu, int V, const ex_map_shape *shape,
                            ex_stream s);
void ex_conv_channel_update_cuda(void *out, const float *pre, const void *weight,
                                 const ex_channel_change *change, const ex_conv_shape *c, int relu,
                                 float *scratch, ex_stream s);
size_t ex_conv_channel_scratch_cuda(const ex_conv_shape *c, int V);

#ifdef __cplusplus
}
#endif
#endif
