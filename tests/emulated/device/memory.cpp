#include "memory.h"

#include "state.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <sys/mman.h>
#include <vector>

namespace emulated
{

namespace
{

constexpr size_t RESERVED = (size_t)1 << 38, PAGE = 4096, ALIGNMENT = 16, SLACK_CHECKED = 64;
constexpr unsigned char POISON = 0xff, SLACK = 0xa5;

char *base, *next;
std::vector<allocation> all; /* in order of addresses */
std::vector<size_t> live;
int opened = NO_DEVICE;

size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

void protect(const allocation &a, int access)
{
    if (mprotect(a.page, a.page_bytes, access))
        die("mprotect of allocation #%u failed: too many allocations?", a.number);
}

bool is_open(const allocation &a)
{
    return opened == EVERY_DEVICE || opened == a.device;
}

void reserve()
{
    void *const p =
        mmap(nullptr, RESERVED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        die("cannot reserve addresses for device memory");
    base = next = static_cast<char *>(p);
}

/* The last allocation that starts at or before p. */
const allocation *last_before(const void *p)
{
    const auto after =
        std::upper_bound(all.begin(), all.end(), p, [](const void *q, const allocation &a) {
            return (const char *)q < a.page;
        });
    return after == all.begin() ? nullptr : &*(after - 1);
}

bool slack_is_whole(const char *from, const char *to)
{
    for (; from < to; from++)
        if ((unsigned char)*from != SLACK)
            return false;
    return true;
}

} // namespace

void *memory_allocate(int device, size_t bytes)
{
    if (!base)
        reserve();
    allocation a = {(unsigned)all.size() + 1, device, true, nullptr, bytes, next + PAGE, 0};
    a.page_bytes = round_up(bytes, PAGE);
    if (a.page_bytes + 2 * PAGE > (size_t)(base + RESERVED - next))
        die("addresses for device memory are used up: reset more often");
    char *const end = a.page + a.page_bytes;
    a.start = end - round_up(bytes, ALIGNMENT);
    next = end;
    protect(a, PROT_READ | PROT_WRITE);
    memset(a.page, SLACK, (size_t)(a.start - a.page));
    if (!the().only_count) /* else the pages are there when they are used, as zeros */
        memset(a.start, POISON, bytes);
    memset(a.start + bytes, SLACK, (size_t)(end - a.start) - bytes);
    if (!is_open(a))
        protect(a, PROT_NONE);
    live.push_back(all.size());
    all.push_back(a);
    fault_handler_install();
    return a.start;
}

bool memory_is_device(const void *p)
{
    return base && (const char *)p >= base && (const char *)p < base + RESERVED;
}

const allocation *memory_near(const void *p)
{
    return memory_is_device(p) ? last_before(p) : nullptr;
}

const allocation *memory_find(const void *p)
{
    const allocation *const a = memory_near(p);
    const char *const c = static_cast<const char *>(p);
    return a && a->live && c >= a->start && c < a->start + a->bytes ? a : nullptr;
}

const allocation *memory_at(const void *start)
{
    const allocation *const a = memory_find(start);
    return a && a->start == start ? a : nullptr;
}

void memory_free(const allocation *a)
{
    const size_t index = (size_t)(a - all.data());
    madvise(a->page, a->page_bytes, MADV_DONTNEED);
    protect(*a, PROT_NONE);
    all[index].live = false;
    live.erase(std::find(live.begin(), live.end(), index));
}

long memory_count()
{
    return (long)live.size();
}

void memory_reset()
{
    memory_close();
    if (base) {
        madvise(base, (size_t)(next - base), MADV_DONTNEED);
        mprotect(base, (size_t)(next - base), PROT_NONE);
        next = base;
    }
    all.clear();
    live.clear();
    opened = NO_DEVICE;
}

void memory_open(int device)
{
    if (the().only_count) /* opening and closing much memory takes long */
        device = EVERY_DEVICE;
    if (opened == device)
        return;
    for (const size_t i : live) {
        const bool wanted = device == EVERY_DEVICE || device == all[i].device;
        if (wanted != is_open(all[i]))
            protect(all[i], wanted ? PROT_READ | PROT_WRITE : PROT_NONE);
    }
    opened = device;
    fault_handler_install();
}

void memory_close()
{
    if (opened != NO_DEVICE)
        memory_open(NO_DEVICE);
}

/* Of the slack before an allocation the part next to it: a whole page would take too long. */
void memory_check(const char *culprit)
{
    for (const size_t i : live) {
        const allocation &a = all[i];
        if (!is_open(a))
            continue;
        const size_t before = std::min((size_t)(a.start - a.page), SLACK_CHECKED);
        if (!slack_is_whole(a.start - before, a.start))
            die("%s wrote before the start of allocation #%u of %zu bytes", culprit, a.number,
                a.bytes);
        if (!slack_is_whole(a.start + a.bytes, a.page + a.page_bytes))
            die("%s wrote past the end of allocation #%u of %zu bytes", culprit, a.number, a.bytes);
    }
}

} // namespace emulated
