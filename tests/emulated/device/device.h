/* An emulated CUDA device, for tests: what host code of a CUDA back end does wrong shows without a
 * GPU.
 *
 * Link `excise_device_emulated` in place of the CUDA runtime and of the CUDA kernels: it holds the
 * functions of cuda_runtime_api.h that the engine uses, and the kernels as host code. The code
 * under test includes the toolkit's own headers and calls CUDA as it always does; libraries' calls
 * are replaced by functions that call ex_emulated_enqueue (../stream.h). Start each test by
 * ex_emulated_reset, run it for several seeds, and end it by looking at what is alive:
 *
 *     for (uint64_t seed = 0; seed < 20; seed++) {
 *         ex_emulated_reset(seed);
 *         ... cudaMalloc, launches, cudaStreamSynchronize ...
 *         assert_string_equal(ex_emulated_leaks(), "");
 *     }
 *
 * How it behaves:
 * - Work is queued, and runs when a call waits for it, or (for most seeds) at some moments between.
 *   Of all work that streams and events allow to run, the seed chooses. Seed 0 runs it in order of
 *   the calls, as late as possible.
 * - Device memory faults when host code touches it. It starts as NaN (bytes 0xff), ends at a page
 *   that faults (an overrun of 16 bytes or more), faults once freed, and its slack is checked for
 *   stray writes after each work. Addresses are not used twice before a reset. A fault ends the
 *   program with a line that names the allocation and the work.
 * - Copies from pinned memory read it when they run, those from pageable memory at the call; the
 *   destination of a copy to pinned memory is overwritten by 0xff at the call, unless work that is
 *   still queued uses it.
 * - A failing kernel, a failed synchronisation and ex_emulated_fail_work are sticky, as on a GPU:
 * no later work runs, and each call returns the error, until the reset.
 * - Stricter than CUDA: copies of pageable memory cannot be captured, device memory of one GPU
 *   is closed to work on another, and each handle is used for one object only.
 * - A kernel's arguments are copied at the launch, and may not hold addresses of pageable memory;
 *   nor may the operands of a library call.
 * - It cannot show races between two threads of a kernel, nor how long anything takes.
 *
 * A call that waits orders what its host thread queues next behind what it waited for; counts.depth
 * knows of no other order between the host's threads.
 *
 * Calls may come from several host threads; the functions below from one, while no other calls. */
#ifndef EX_EMULATED_DEVICE_H
#define EX_EMULATED_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Before the first reset the seed is EXCISE_EMULATED_SEED's, 0 without.
 *
 * Forgets everything: queued work, memory, streams, events, graphs, errors, counts. One device of
 * 1 GiB and one multiprocessor. */
void ex_emulated_reset(uint64_t seed);
/* Right after a reset: the number of devices, 0 to 8, and the memory of each. */
void ex_emulated_set_devices(int count);
void ex_emulated_set_memory(size_t bytes);

/* Right after a reset: kernels and library calls are counted and not run, and device memory starts
 * as zeros: for counting what jobs of any size do. */
void ex_emulated_only_count(void);

/* Right after a reset: from now on events tell a time of their own, in which each kernel and each
 * library call takes so many milliseconds, and all else none. Before that it is the host's. */
void ex_emulated_set_clock(double kernel, double library);

/* Call number n from now on, from 1, fails: calls of the runtime that return errors of their own,
 * and kernel launches. It does nothing, but one that releases something releases it. 0: none fails.
 */
void ex_emulated_fail_call(long n);
/* The function that was made to fail, or the kernel; NULL if there were fewer calls. */
const char *ex_emulated_failed_call(void);
/* Work number n from now on, from 1, fails when it runs. Copies, kernels, library calls count. */
void ex_emulated_fail_work(long n);
/* Wait number n for an event from now on, from 1, is lost: the call succeeds and orders nothing, as
 * if the code under test had left it out. 0: none is. */
void ex_emulated_lose_wait(long n);
/* Whether there was such a wait. */
int ex_emulated_lost_wait(void);
/* The same for the host's waits for a stream, and whether there was such a one. */
void ex_emulated_lose_synchronisation(long n);
int ex_emulated_lost_synchronisation(void);
/* What broke the device, as text; NULL if nothing did. */
const char *ex_emulated_failure(void);

/* What happened since the reset. */
typedef struct ex_emulated_counts {
    long calls;         /* that ex_emulated_fail_call counts */
    long launches;      /* kernels */
    long library_calls; /* ex_emulated_enqueue */
    long works;         /* queued: the two above, copies, fills, host functions, nodes of graphs */
    long works_run;
    long graph_launches;
    long graph_works;      /* of the works: nodes that graph launches queued */
    long depth;            /* works of the longest chain in which each waits for the one before */
    long synchronisations; /* of a device, a stream, an event */
    long waits;       /* calls that wait for the device: those above, cudaMemcpy, cudaFree, ... */
    long allocations; /* of device memory and of pinned memory, as calls */
    long pageable_copies;                        /* asynchronous by name only */
    size_t uploaded, downloaded, copied, filled; /* bytes: to a device, from it, between, memset */
    double flop, moved; /* what works were said to cost: ex_emulated_cost */
} ex_emulated_counts;
ex_emulated_counts ex_emulated_count(void);
/* The next kernel or library call of this host thread costs so many floating-point operations and
 * bytes of device memory, each time it is run. */
void ex_emulated_cost(double flop, double bytes);

/* What exists. */
typedef struct ex_emulated_objects {
    long device_allocations, pinned_allocations, streams, events, graphs, graph_execs;
    long works; /* queued, not yet run */
    size_t device_bytes, pinned_bytes;
    size_t device_bytes_most; /* at any time since the reset */
} ex_emulated_objects;
ex_emulated_objects ex_emulated_alive(void);
/* What exists as text, "" if nothing does (works left queued count); valid until the next call. */
const char *ex_emulated_leaks(void);

#ifdef __cplusplus
}
#endif
#endif
