/* Arguments of kernels and library calls: a pointer to memory of the host would be an illegal
 * address on a GPU. */
#include "memory.h"
#include "runtime.h"
#include "state.h"
#include "stream.h"

#include <cstring>
#include <sys/mman.h>

using namespace emulated;

namespace
{

/* Stacks, heaps and programs lie in the upper part of the addresses; two small numbers side by side
 * look like an address in the lower part, where sanitizers map memory of theirs, or like one in the
 * first page of four gigabytes, where their heaps may begin. */
constexpr uintptr_t PAGE = 4096, LOWER_PART = (uintptr_t)1 << 45, ADDRESSES = (uintptr_t)1 << 47;

bool are_numbers(uintptr_t word)
{
    return word < LOWER_PART || (word & 0xffffffffu) < PAGE;
}

/* Inside of pinned memory or at its end, where a buffer of no elements may lie. */
bool is_pinned(uintptr_t p)
{
    auto at = the().pinned.upper_bound(reinterpret_cast<const char *>(p));
    if (at == the().pinned.begin())
        return false;
    --at;
    return p <= reinterpret_cast<uintptr_t>(at->first) + at->second;
}

bool is_mapped(uintptr_t p)
{
    unsigned char in_memory = 0;
    return p >= PAGE && p < ADDRESSES &&
           mincore(reinterpret_cast<void *>(p / PAGE * PAGE), 1, &in_memory) == 0;
}

bool is_pageable(uintptr_t p)
{
    return !memory_is_device(reinterpret_cast<const void *>(p)) && !is_pinned(p) && is_mapped(p);
}

} // namespace

/* In a structure every word that can be the address of host memory is taken for a pointer. */
void ex_emulated_argument(const char *kernel, const void *argument, size_t bytes, bool is_pointer)
{
    const std::lock_guard<std::recursive_mutex> hold(the().lock);
    for (size_t at = 0; at + sizeof(uintptr_t) <= bytes; at += sizeof(uintptr_t)) {
        uintptr_t word = 0;
        memcpy(&word, static_cast<const char *>(argument) + at, sizeof word);
        if ((is_pointer || !are_numbers(word)) && is_pageable(word))
            die("%s: %s %#zx, which is memory of the host", kernel,
                is_pointer ? "an argument is" : "a structure holds", (size_t)word);
    }
}

void ex_emulated_operands(const char *what, const void *const *address, size_t count)
{
    ex_emulated_argument(what, address, count * sizeof *address, true);
}
