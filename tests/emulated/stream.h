/* How library calls of the emulated device queue their work; see device.h there for the rest. */
#ifndef EX_EMULATED_STREAM_H
#define EX_EMULATED_STREAM_H

#include <functional>

/* Runs `work` when the stream's earlier work has run; device memory is open to it alone. */
void ex_emulated_enqueue(void *stream, const char *what, std::function<void()> work);

#endif
