/* How library calls of the emulated device queue their work; device/device.h has the rest. */
#ifndef EX_EMULATED_STREAM_H
#define EX_EMULATED_STREAM_H

#include <cstddef>
#include <functional>

/* Queues `work`, named `what`, on a stream (a cudaStream_t): it runs when the stream's earlier work
 * has run, and device memory is open to it alone. On a stream that is being captured it becomes a
 * node of the graph, and may run often. Whatever it needs must be copied into it. A stream that
 * does not exist stops the program. Without an emulated device, `work` runs at once. */
void ex_emulated_enqueue(void *stream, const char *what, std::function<void()> work);
/* What such a call is given to work on: pageable memory of the host stops the program, on a device.
 */
void ex_emulated_operands(const char *what, const void *const *address, size_t count);

/* What that work costs, said before it is queued: device/device.h has more. */
extern "C" void ex_emulated_cost(double flop, double bytes);

#endif
