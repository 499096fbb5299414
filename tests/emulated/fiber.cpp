#include "fiber.h"

#include <deque>
#include <memory>
#include <ucontext.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EX_ASAN
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define EX_ASAN
#endif

#if defined(EX_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif

namespace
{

constexpr size_t STACK = 64 * 1024;

/* AddressSanitizer must know on which stack the program runs. */
void leave_stack(void **keep, const void *to, size_t size)
{
#if defined(EX_ASAN)
    __sanitizer_start_switch_fiber(keep, to, size);
#else
    (void)keep, (void)to, (void)size;
#endif
}

void arrive(void *kept, const void **from, size_t *size)
{
#if defined(EX_ASAN)
    __sanitizer_finish_switch_fiber(kept, from, size);
#else
    (void)kept, (void)from, (void)size;
#endif
}

} // namespace

struct fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    const std::function<void()> *body;
    bool done;
    void *asan;
};

namespace
{

thread_local std::deque<fiber> fibers; /* by slot; stacks are kept for the next block */
thread_local fiber *running;
thread_local ucontext_t resumer;
thread_local const void *resumer_stack;
thread_local size_t resumer_size;

void enter()
{
    arrive(nullptr, &resumer_stack, &resumer_size);
    fiber *self = running;
    (*self->body)();
    self->done = true;
    leave_stack(nullptr, resumer_stack, resumer_size);
    setcontext(&resumer);
}

} // namespace

fiber *fiber_start(size_t slot, const std::function<void()> &body)
{
    while (fibers.size() <= slot)
        fibers.emplace_back();
    fiber *f = &fibers[slot];
    if (!f->stack)
        f->stack.reset(new char[STACK]);
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack.get();
    f->context.uc_stack.ss_size = STACK;
    f->context.uc_link = nullptr;
    makecontext(&f->context, enter, 0);
    f->body = &body, f->done = false, f->asan = nullptr;
    return f;
}

bool fiber_resume(fiber *f)
{
    running = f;
    void *asan = nullptr;
    leave_stack(&asan, f->stack.get(), STACK);
    swapcontext(&resumer, &f->context);
    arrive(asan, nullptr, nullptr);
    return f->done;
}

void fiber_yield()
{
    fiber *self = running;
    leave_stack(&self->asan, resumer_stack, resumer_size);
    swapcontext(&self->context, &resumer);
    arrive(self->asan, &resumer_stack, &resumer_size);
}
