/* The only place that knows CUDA from host.
 *
 * An element-wise kernel is written once, as an inline body marked EX_BODY, and called from the
 * CUDA kernel and from the host loop alike. */
#ifndef EX_KERNELS_DEVICE_H
#define EX_KERNELS_DEVICE_H

#if defined(__CUDACC__)
#define EX_BODY static inline __host__ __device__
#else
#define EX_BODY static inline
#endif

#endif
