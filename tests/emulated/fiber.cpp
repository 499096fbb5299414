#include "fiber.h"

#include <deque>
#include <memory>
#include <setjmp.h>
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
    jmp_buf at;
    std::unique_ptr<char[]> stack;
    const std::function<void()> *body;
    bool done;    /* it has ended, and waits for another body */
    bool entered; /* since its context was made */
    void *asan;
};

namespace
{

thread_local std::deque<fiber> fibers; /* by slot; stacks are kept for the next block */
thread_local fiber *running;
thread_local const void *resumer_stack;
thread_local size_t resumer_size;

/* Switches by contexts save the signal mask, by a system call that takes most of the time; jumps do
 * not, but AddressSanitizer has jumps of its own. */
#if defined(EX_ASAN)

thread_local ucontext_t resumer;

void enter_fiber(fiber *f)
{
    swapcontext(&resumer, &f->context);
}

void leave_fiber(fiber *f)
{
    swapcontext(&f->context, &resumer);
}

#else

thread_local jmp_buf resumer;

void enter_fiber(fiber *f)
{
    if (_setjmp(resumer))
        return;
    if (f->entered)
        _longjmp(f->at, 1);
    f->entered = true;
    setcontext(&f->context);
}

void leave_fiber(fiber *f)
{
    if (!_setjmp(f->at))
        _longjmp(resumer, 1);
}

#endif

/* A fiber runs one body after the other. */
void enter()
{
    arrive(nullptr, &resumer_stack, &resumer_size);
    for (;;) {
        (*running->body)();
        running->done = true;
        fiber_yield();
    }
}

void make(fiber *f)
{
    if (!f->stack)
        f->stack.reset(new char[STACK]);
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack.get();
    f->context.uc_stack.ss_size = STACK;
    f->context.uc_link = nullptr;
    makecontext(&f->context, enter, 0);
    f->entered = false, f->asan = nullptr;
}

} // namespace

fiber *fiber_start(size_t slot, const std::function<void()> &body)
{
    while (fibers.size() <= slot)
        fibers.emplace_back();
    fiber *f = &fibers[slot];
    if (!f->stack || !f->done)
        make(f);
    f->body = &body, f->done = false;
    return f;
}

bool fiber_resume(fiber *f)
{
    running = f;
    void *asan = nullptr;
    leave_stack(&asan, f->stack.get(), STACK);
    enter_fiber(f);
    arrive(asan, nullptr, nullptr);
    return f->done;
}

void fiber_yield()
{
    fiber *self = running;
    leave_stack(&self->asan, resumer_stack, resumer_size);
    leave_fiber(self);
    arrive(self->asan, &resumer_stack, &resumer_size);
}
