/* Memory of the emulated devices: one reserved range of addresses, in which allocations follow each
 * other, with pages that fault between them. Addresses are not used again before a reset. */
#ifndef EX_EMULATED_MEMORY_H
#define EX_EMULATED_MEMORY_H

#include <cstddef>

namespace emulated
{

constexpr int EVERY_DEVICE = -1, NO_DEVICE = -2;

struct allocation {
    unsigned number; /* from 1, in order of the calls */
    int device;
    bool live;
    char *start; /* aligned to 16 bytes, so that it ends where its last page does */
    size_t bytes;
    char *page; /* its first */
    size_t page_bytes;
};

/* `bytes` of 0xff on a device; never NULL for lack of memory: that is the caller's to limit. */
void *memory_allocate(int device, size_t bytes);
/* The live allocation that starts here or, of memory_find, has this byte; NULL if none. */
const allocation *memory_at(const void *start);
const allocation *memory_find(const void *p);
/* The allocation, live or not, that has this address or is the last before it; NULL if the address
 * is no device's. */
const allocation *memory_near(const void *p);
bool memory_is_device(const void *p);
void memory_free(const allocation *a);
long memory_count(); /* of live allocations */
void memory_reset();

/* Lets host code touch the memory of one device, of every one or of none. */
void memory_open(int device);
void memory_close();
/* Stops the program if the slack around an open allocation has changed; `culprit` ran last. */
void memory_check(const char *culprit);

/* Ends the program by a line that says which access was wrong, if a fault is at device memory. */
void fault_handler_install();
[[noreturn]] void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

} // namespace emulated
#endif
