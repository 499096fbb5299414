#include "mirror.h"

#include "test.h"

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The alignment of device memory, and of the widest access. */
enum { ALIGNMENT = 256, WIDEST = 16, GUARD = 2 * ALIGNMENT };

/* As a float, NaN of a payload of the operand's own: a guard that a kernel copies to another shows.
 */
static unsigned char guard_byte(const mirror_operand *o, size_t at)
{
    return at % 2 ? 0x7f : (unsigned char)(0xc0 + o->number);
}

static cudaStream_t queue;
static size_t guard = GUARD;

static void check(cudaError_t error, const char *call)
{
    if (error != cudaSuccess)
        fail_msg("%s: %s", call, cudaGetErrorString(error));
}
#define CHECK(call) check((call), #call)

/* An operation that the table lacks would be a call of NULL. */
static bool is_complete(void)
{
    void (*entry[sizeof(ex_kernels) / sizeof(void (*)(void))])(void);
    memcpy(entry, &ex_kernels_mirrored, sizeof entry);
    for (size_t i = 0; i < sizeof entry / sizeof *entry; i++)
        if (!entry[i])
            return false;
    return true;
}

bool mirror_open(void)
{
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || count == 0) {
        fprintf(stderr, "skipped: no GPU: %s\n", cudaGetErrorString(error));
        return false;
    }
    if (!is_complete()) {
        fprintf(stderr, "tests/gpu/mirrored.c lacks an operation of kernels.h\n");
        abort();
    }
    queue = NULL;
    guard = getenv("EX_TEST_EXACT") ? 0 : GUARD;
    return true;
}

mirror mirror_begin(ex_stream s)
{
    if (!queue)
        CHECK(cudaStreamCreateWithFlags(&queue, cudaStreamNonBlocking));
    return (mirror){.stream = {.threads = s.threads, .queue = queue}};
}

static size_t total_of(const mirror_operand *o)
{
    return o->lead + o->bytes + guard;
}

static unsigned char *staging(size_t bytes)
{
    unsigned char *all = malloc(bytes + 1);
    assert_non_null(all);
    return all;
}

static void upload(mirror_operand *o)
{
    const size_t total = total_of(o);
    unsigned char *all = staging(total);
    void *device = NULL;
    for (size_t i = 0; i < total; i++)
        all[i] = guard_byte(o, i);
    if (o->bytes > 0)
        memcpy(all + o->lead, o->host, o->bytes);
    CHECK(cudaMalloc(&device, total > 0 ? total : 1));
    CHECK(cudaMemcpy(device, all, total, cudaMemcpyHostToDevice));
    o->device = device;
    free(all);
}

/* The operand that begins at `host`; fails on one that overlaps in another way. */
static mirror_operand *find(mirror *m, const void *host, size_t bytes)
{
    for (int i = 0; i < m->count; i++) {
        mirror_operand *o = &m->operand[i];
        const uintptr_t a = (uintptr_t)o->host, b = (uintptr_t)host;
        if (a == b && bytes <= o->bytes)
            return o;
        if (a < b + bytes && b < a + o->bytes)
            fail_msg("operands overlap in part: %zu bytes, and %zu others %td after", o->bytes,
                     bytes, (ptrdiff_t)(b - a));
    }
    return NULL;
}

static void *place(mirror *m, void *host, size_t bytes, bool written)
{
    if (!host)
        return NULL;
    mirror_operand *o = find(m, host, bytes);
    if (!o) {
        assert_true(m->count < MIRROR_OPERANDS);
        o = &m->operand[m->count++];
        *o = (mirror_operand){.host = host, .bytes = bytes, .number = m->count};
        o->lead = guard + (uintptr_t)host % (guard > 0 ? ALIGNMENT : WIDEST);
        upload(o);
    }
    o->written |= written;
    return o->device + o->lead;
}

void *mirror_in(mirror *m, const void *host, size_t bytes)
{
    return place(m, (void *)(uintptr_t)host, bytes, false);
}

void *mirror_out(mirror *m, void *host, size_t bytes)
{
    return place(m, host, bytes, true);
}

static bool guards_are_whole(const mirror_operand *o, const unsigned char *all)
{
    const size_t end = o->lead + o->bytes, total = total_of(o);
    for (size_t i = 0; i < total; i++)
        if ((i < o->lead || i >= end) && all[i] != guard_byte(o, i))
            return false;
    return true;
}

/* Frees the copy. NULL, or what is wrong with it. */
static const char *download(const mirror_operand *o)
{
    const size_t total = total_of(o);
    unsigned char *all = staging(total);
    const char *wrong = NULL;
    CHECK(cudaMemcpy(all, o->device, total, cudaMemcpyDeviceToHost));
    CHECK(cudaFree(o->device));
    if (!guards_are_whole(o, all))
        wrong = "wrote beside an operand";
    if (o->bytes > 0 && o->written)
        memcpy(o->host, all + o->lead, o->bytes);
    else if (o->bytes > 0 && memcmp(o->host, all + o->lead, o->bytes) != 0)
        wrong = "wrote to an operand that it only reads";
    free(all);
    return wrong;
}

const char *mirror_finish(mirror *m, const char *operation)
{
    static char text[256];
    const char *kernel = NULL, *what = NULL;
    int error = ex_kernels_cuda_error(&kernel, NULL), operand = 0;
    if (error == 0)
        error = (int)cudaStreamSynchronize(queue);
    if (error != 0) {
        snprintf(text, sizeof text, "%s: %s %s", operation, kernel ? kernel : "",
                 cudaGetErrorString((cudaError_t)error));
        return text;
    }
    for (int i = 0; i < m->count; i++) {
        const char *wrong = download(&m->operand[i]);
        if (wrong)
            what = wrong, operand = i;
    }
    if (what)
        snprintf(text, sizeof text, "%s %s, of %zu bytes", operation, what,
                 m->operand[operand].bytes);
    m->count = 0;
    return what ? text : NULL;
}

void mirror_end(mirror *m, const char *operation)
{
    const char *wrong = mirror_finish(m, operation);
    if (wrong)
        fail_msg("%s", wrong);
}
