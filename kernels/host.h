/* What the host implementations share: choice of instruction set, threads, and their prototypes.
 *
 * Results are the same bits for any number of threads, and for any instruction set that has fused
 * multiply-adds: element-wise work has no order, and every reduction runs in one fixed order inside
 * one thread. Without them (processors before 2013) only the few-row gradients differ. */
#ifndef EX_KERNELS_HOST_H
#define EX_KERNELS_HOST_H

#include "kernels.h"

#include <omp.h>

/* For what a clone calls: compilers do not always inline it, and else it stays at the baseline. */
#define EX_INLINE static inline __attribute__((always_inline))

/* Marks a hot loop: compiled for the baseline and for wider vectors, chosen when the program
 * starts. What it calls must be EX_INLINE or EX_BODY. Needs ifunc, which sanitizers do not survive
 * (their runtime starts after the resolvers): the build defines EX_NO_CLONES for them.
 * EX_FUSED_CLONES: of files that are compiled so that a sum of products is of fused multiply-adds,
 * for which avx2 alone does not stand. */
#if defined(EX_CLONES)
/* Given by the build, to try one instruction set. */
#define EX_FUSED_CLONES EX_CLONES
#elif defined(__x86_64__) && defined(__GLIBC__) && !defined(EX_NO_CLONES)
#define EX_CLONES       __attribute__((target_clones("avx512f", "avx2", "default")))
#define EX_FUSED_CLONES __attribute__((target_clones("avx512f", "fma", "default")))
#else
#define EX_CLONES
#define EX_FUSED_CLONES
#endif

/* Fewer elements than this, some 20 microseconds of work, are not worth a second thread: waking it
 * costs a few, and waiting for it much more where other work holds its core. */
enum { EX_PARALLEL_MIN = 1 << 17 };

/* Runs `call` on [begin, end), names that it may use: all of [0, units) at once, or one contiguous
 * share a thread if there are threads and work enough (`elements` in all units). A stream of one
 * thread never enters an OpenMP region: lanes are threads already. */
#define EX_SHARE(units, elements, s, call)                                                         \
    do {                                                                                           \
        const size_t ex_units = (units);                                                           \
        if ((s).threads > 1 && ex_units > 1 && (elements) >= EX_PARALLEL_MIN) {                    \
            _Pragma("omp parallel num_threads((s).threads)")                                       \
            {                                                                                      \
                const size_t ex_thread = (size_t)omp_get_thread_num();                             \
                const size_t ex_team = (size_t)omp_get_num_threads();                              \
                const size_t begin = ex_units * ex_thread / ex_team;                               \
                const size_t end = ex_units * (ex_thread + 1) / ex_team;                           \
                call;                                                                              \
            }                                                                                      \
        } else {                                                                                   \
            const size_t begin = 0, end = ex_units;                                                \
            call;                                                                                  \
        }                                                                                          \
    } while (0)

void ex_convert_host(void *out, ex_map_type out_type, const void *in, ex_map_type in_type, size_t n,
                     ex_stream s);
void ex_batch_gather_host(void *out, const uint8_t *images, const uint32_t *index,
                          const ex_gather_shape *g, ex_stream s);
void ex_softmax_xent_host(float *dlogits, float *loss, int32_t *predicted, const float *logits,
                          const uint16_t *label, int N, int K, float grad_scale, ex_stream s);
void ex_feed_next_host(uint32_t *index_out, uint16_t *label_out, const ex_feed_state *state,
                       const uint32_t *index, const uint16_t *label, int N, ex_stream s);
void ex_feed_log_host(float *loss_log, int32_t *predicted_log, ex_feed_state *state,
                      const float *loss, const int32_t *predicted, int N, ex_stream s);
void ex_sgd_segments_host(float *params, float *velocity, const float *grads,
                          const ex_segment *segments, size_t segment_count, ex_sgd_coeff c,
                          ex_stream s);
void ex_segments_pack_host(float *packed, const float *flat, const ex_segment *segments,
                           size_t segment_count, ex_stream s);
void ex_segments_unpack_host(float *flat, const float *packed, const ex_segment *segments,
                             size_t segment_count, ex_stream s);
void ex_accumulate_fixed_host(int64_t *acc, uint64_t *outside, const float *x, double weight,
                              size_t n, ex_stream s);
void ex_norm_fold_host(float *weight_out, float *bias_out, const float *weight, const float *bias,
                       const float *scale, const float *shift, const float *mean, const float *var,
                       float eps, const int32_t *channel, int channels, size_t row, ex_stream s);
void ex_norm_fold_bwd_host(const ex_norm_fold_gradient *g, const int32_t *channel, int channels,
                           ex_stream s);
void ex_norm_running_host(float *running_mean, float *running_var, const float *batch_mean,
                          const float *batch_var, const uint8_t *selected, size_t count,
                          float momentum, int C, ex_stream s);
void ex_norm_train_fwd_host(void *y, const void *x, const void *residual, const ex_norm_train *n,
                            ex_stream s);
void ex_norm_train_bwd_host(const ex_norm_train_gradient *g, const ex_norm_train *n, ex_stream s);
size_t ex_norm_train_scratch_host(const ex_map_shape *shape);
void ex_add_relu_fwd_host(void *out, const void *a, const void *b, size_t n, ex_map_type type,
                          ex_stream s);
void ex_add_relu_bwd_host(void *dx, const void *g1, const void *g2, const void *y, size_t n,
                          ex_map_type type, ex_stream s);
void ex_shortcut_a_fwd_host(void *out, const void *in, const ex_map_shape *in_shape, int K,
                            int out_block, int stride, ex_stream s);
void ex_shortcut_a_bwd_host(void *din, const void *dout, const ex_map_shape *in_shape, int K,
                            int out_block, int stride, ex_stream s);
void ex_maxpool_fwd_host(void *y, int8_t *index, const void *x, const ex_pool_shape *p,
                         ex_stream s);
void ex_maxpool_bwd_host(void *dx, const void *dy, const int8_t *index, const ex_pool_shape *p,
                         ex_stream s);
void ex_avgpool_fwd_host(void *y, const void *x, const ex_pool_shape *p, ex_stream s);
void ex_avgpool_bwd_host(void *dx, const void *dy, const ex_pool_shape *p, ex_stream s);
void ex_conv_rows_bwd_host(float *dw, float *dsum, const void *x, const void *dy,
                           const int32_t *row, int rows, const ex_conv_shape *c, float *scratch,
                           ex_stream s);
size_t ex_conv_rows_scratch_host(const ex_conv_shape *c, int rows);
void ex_flatten_fwd_host(void *out, const void *in, const ex_map_shape *shape,
                         const ex_dropout *drop, ex_stream s);
void ex_flatten_bwd_host(void *din, const void *dout, const ex_map_shape *shape,
                         const ex_dropout *drop, ex_stream s);
void ex_channel_ablate_host(void *out, const void *in, const void *residual, const int32_t *channel,
                            const float *fill, int relu, int V, const ex_map_shape *shape,
                            ex_stream s);
void ex_conv_channel_update_host(void *out, const float *pre, const void *weight,
                                 const ex_channel_change *change, const ex_conv_shape *c, int relu,
                                 float *scratch, ex_stream s);
size_t ex_conv_channel_scratch_host(const ex_conv_shape *c, int V);

#endif
