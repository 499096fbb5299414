/* Fibers of one host thread, on ucontext: functions that can stop in the middle and go on later. */
#ifndef EX_FIBER_H
#define EX_FIBER_H

#include <cstddef>
#include <functional>

struct fiber;

/* A fiber that will run `body`, on stack number `slot`, whose earlier fiber is abandoned if it has
 * not ended. Valid until the next start with that slot, and as long as `body` is. */
fiber *fiber_start(size_t slot, const std::function<void()> &body);
/* Runs it until it yields or ends; true if it ended. */
bool fiber_resume(fiber *f);
/* From inside a fiber: back to whoever resumed it. */
void fiber_yield();

#endif
