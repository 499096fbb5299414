/* What the emulation of kernels needs from a CUDA runtime. Two implement it, together with the
 * functions of the runtime that kernels/ calls: no_device.cpp, which runs a launch at once on
 * memory of the host, and device/, an emulated device that queues it. A program links one of them.
 */
#ifndef EX_EMULATED_RUNTIME_H
#define EX_EMULATED_RUNTIME_H

#include <cstddef>
#include <functional>

/* Looks at an argument of a launch, a pointer or a value that may hold some, for host memory;
 * kernels see it in launch.h. */
void ex_emulated_argument(const char *kernel, const void *argument, size_t bytes, bool is_pointer);
/* Takes a launch: runs `work` once, now or later. What speaks against it becomes the last error. */
void ex_emulated_launch_queue(void *stream, const char *kernel, std::function<void()> work);
/* A launch that CUDA would refuse: `error`, a cudaError_t, becomes the last error. */
void ex_emulated_launch_refused(const char *kernel, int error);
/* A kernel that ran did what it must not. */
void ex_emulated_launch_failed(int error, const char *text);

#endif
