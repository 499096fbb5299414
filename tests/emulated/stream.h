/* How library calls of the emulated device queue their work; device/device.h has the rest. */
#ifndef EX_EMULATED_STREAM_H
#define EX_EMULATED_STREAM_H

#include <functional>

/* Queues `work`, named `what`, on a stream (a cudaStream_t): it runs when the stream's earlier work
 * has run, and device memory is open to it alone. On a stream that is being captured it becomes a
 * node of the graph, and may run often. Whatever it needs must be copied into it. A stream that
 * does not exist stops the program. Without an emulated device, `work` runs at once. */
void ex_emulated_enqueue(void *stream, const char *what, std::function<void()> work);

#endif
