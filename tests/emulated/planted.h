/* Small kernels with known results, and kernels with a fault each: what the emulation must show. */
#ifndef EX_PLANTED_H
#define EX_PLANTED_H

#ifdef __cplusplus
extern "C" {
#endif

enum { PLANTED_BLOCKS = 3, PLANTED_THREADS = 64 };

/* out[b * 64 + t] = sum over t' <= t of t', by shuffles and shared memory. */
void planted_scan(int *out);
/* The same, less the barrier between writing and reading shared memory. */
void planted_scan_without_barrier(int *out);
/* out[b] = what block b finds in shared memory that only block 0 writes. */
void planted_stale_shared(float *out);
/* Writes one float past a shared array. */
void planted_shared_overrun(float *out);
/* Half of the block goes to the barrier. */
void planted_divergent_barrier(void);
/* A lane leaves before a shuffle that waits for it. */
void planted_missing_lane(int *out);
/* A barrier, launched by EX_LAUNCH. */
void planted_barrier_in_plain_launch(void);
void planted_empty_grid(void);
void planted_large_block(void);
typedef struct planted_shape {
    int a, b;
    int *unused; /* passed along */
} planted_shape;
/* out[0] = a - b, by a kernel that is given *s and, again, both numbers. */
void planted_difference(int *out, const planted_shape *s);
/* A library's call: *out += 1. */
void planted_library_call(int *out, void *stream);
/* out[i] = index of thread i, for blocks of 5 x 2 x 3 threads in a grid of 2 x 3 x 2. */
void planted_indexes(int *out);

#ifdef __cplusplus
}
#endif
#endif
