/* How a kernel is launched, and what it may use, in two builds of the same .cu files.
 *
 * nvcc: `<<<>>>`. Host C++ (tests only): blocks and threads run as loops, and as fibers where a
 * kernel has barriers or shuffles, so that sanitizers and a debugger work on kernels without a GPU;
 * tests/emulated/emulate.cpp does it. That build shows wrong indexes, overruns, unaligned vectors,
 * use of shared memory that nobody wrote and barriers that not all reach; it runs threads in two
 * orders, which shows some races, and says nothing about speed.
 *
 * Kernels take everything by value or as device pointers, and declare shared memory by EX_SHARED.
 */
#ifndef EX_KERNELS_LAUNCH_H
#define EX_KERNELS_LAUNCH_H

#include "table_cuda.h"

#include <stddef.h>
#include <stdint.h>

constexpr int EX_WARP = 32;
#define EX_FULL_WARP 0xffffffffu

/* The line of a launch, for messages. */
#define EX_LAUNCH_TEXT_(line) #line
#define EX_LAUNCH_TEXT(line)  EX_LAUNCH_TEXT_(line)
#define EX_LAUNCHED(kernel)                                                                        \
    ex_kernels_cuda_keep_error(kernel, __FILE__ ":" EX_LAUNCH_TEXT(__LINE__))

#if defined(__CUDACC__)

#include <cuda_runtime.h>

/* Launches on stream `s`; the error, if any, is kept for ex_kernels_cuda_error. */
#define EX_LAUNCH(kernel, grid, block, shared_bytes, s, ...)                                       \
    do {                                                                                           \
        (kernel)<<<(grid), (block), (shared_bytes), (cudaStream_t)(s).queue>>>(__VA_ARGS__);       \
        EX_LAUNCHED(#kernel);                                                                      \
    } while (0)
/* The same for kernels with barriers or shuffles, which the emulation runs as fibers. */
#define EX_LAUNCH_TOGETHER EX_LAUNCH

/* An array in the block's shared memory. */
#define EX_SHARED(type, name, count) __shared__ type name[count]

#else

#include <functional>
#include <type_traits>

#define __global__
#define __device__
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) longlong2 {
    long long x, y;
};
extern thread_local dim3 gridDim, blockDim, blockIdx, threadIdx;

typedef int cudaError_t;
enum { cudaSuccess = 0, cudaDevAttrMultiProcessorCount = 16 };
extern "C" cudaError_t cudaGetLastError(void);
extern "C" cudaError_t cudaGetDevice(int *device);
extern "C" cudaError_t cudaDeviceGetAttribute(int *value, int attribute, int device);

typedef struct ex_emulated_launch {
    const char *kernel;
    dim3 grid, block;
    size_t shared_bytes;
    void *queue;
    bool fibers;
} ex_emulated_launch;

/* Runs `thread` for every thread of every block, now or when the stream comes to it. */
void ex_emulated_run(const ex_emulated_launch &launch, const std::function<void()> &thread);
/* Looks at an argument of a launch, a pointer or a value that may hold some, for host memory. */
void ex_emulated_argument(const char *kernel, const void *argument, size_t bytes, bool is_pointer);

/* Where the compiler can clear what lies between members, and else for pointers alone: that may be
 * the rest of an address. */
template <typename T> void ex_emulated_look_at(const char *kernel, T *argument)
{
#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
    __builtin_clear_padding(argument);
    ex_emulated_argument(kernel, argument, sizeof *argument, std::is_pointer<T>::value);
    return;
#endif
#endif
    if (std::is_pointer<T>::value)
        ex_emulated_argument(kernel, argument, sizeof *argument, true);
}

template <typename T> struct ex_emulated_as {
    typedef T type;
};
/* Arguments become copies of the parameters' types at the launch, as CUDA has it: what they were
 * read from may be gone when the kernel runs. */
template <typename... P>
void ex_emulated_start(const ex_emulated_launch &launch, void (*kernel)(P...),
                       typename ex_emulated_as<P>::type... argument)
{
    (ex_emulated_look_at(launch.kernel, &argument), ...);
    ex_emulated_run(launch, [=] { kernel(argument...); });
}

/* The block's array named by `key`, filled with NaN when its first thread asks. */
void *ex_emulated_shared(const void *key, size_t bytes);
void ex_emulated_barrier(void);
/* Exchanges `bytes` of every lane in `mask`: value becomes lane `from`'s. */
void ex_emulated_exchange(unsigned mask, void *value, size_t bytes, int from);
int ex_emulated_lane(void);

#define EX_LAUNCH_AS(kernel_, grid_, block_, shared_, s, fibers_, ...)                             \
    do {                                                                                           \
        ex_emulated_start({#kernel_, (grid_), (block_), (shared_), (s).queue, (fibers_)},          \
                          (kernel_), __VA_ARGS__);                                                 \
        EX_LAUNCHED(#kernel_);                                                                     \
    } while (0)
#define EX_LAUNCH(kernel, grid, block, shared_bytes, s, ...)                                       \
    EX_LAUNCH_AS(kernel, grid, block, shared_bytes, s, false, __VA_ARGS__)
#define EX_LAUNCH_TOGETHER(kernel, grid, block, shared_bytes, s, ...)                              \
    EX_LAUNCH_AS(kernel, grid, block, shared_bytes, s, true, __VA_ARGS__)

#define EX_SHARED(type, name, count)                                                               \
    static const char name##_key = 0;                                                              \
    type *const name = static_cast<type *>(ex_emulated_shared(&name##_key, sizeof(type) * (count)))

#define __syncthreads() ex_emulated_barrier()

/* Threads take turns. */
static inline unsigned long long atomicAdd(unsigned long long *address, unsigned long long value)
{
    const unsigned long long before = *address;
    *address += value;
    return before;
}

static inline void __syncwarp(unsigned mask = EX_FULL_WARP)
{
    ex_emulated_exchange(mask, nullptr, 0, ex_emulated_lane());
}

template <typename T> static inline T __shfl_sync(unsigned mask, T value, int lane)
{
    ex_emulated_exchange(mask, &value, sizeof value, lane % EX_WARP);
    return value;
}

template <typename T> static inline T __shfl_xor_sync(unsigned mask, T value, int lanes)
{
    ex_emulated_exchange(mask, &value, sizeof value, ex_emulated_lane() ^ lanes);
    return value;
}

/* Lanes below `delta` keep their own value. */
template <typename T> static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta)
{
    const int from = ex_emulated_lane() - (int)delta;
    ex_emulated_exchange(mask, &value, sizeof value, from < 0 ? ex_emulated_lane() : from);
    return value;
}

#endif

/* Threads of a block, and the blocks that a multiprocessor is given: enough bytes in flight to
 * reach the memory's bandwidth; larger work strides by the grid. */
constexpr int EX_BLOCK = 256, EX_BLOCKS_PER_SM = 8;

static inline size_t ex_launch_blocks_most(void)
{
    int device = 0, multiprocessors = 0;
    if (cudaGetDevice(&device) == cudaSuccess)
        (void)cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
    return (size_t)(multiprocessors > 0 ? multiprocessors : 1) * EX_BLOCKS_PER_SM;
}

static inline size_t ex_divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* Blocks for `units` threads of work, at least one. */
static inline unsigned ex_launch_blocks(size_t units)
{
    const size_t wanted = ex_divide_up(units, EX_BLOCK), most = ex_launch_blocks_most();
    return (unsigned)(wanted < 1 ? 1 : wanted < most ? wanted : most);
}

/* A grid for the same `units` in each of `y` items (images), further split by `z` (variants):
 * x covers the units; y and z grow only until the device is full, since a thread reuses what it
 * knows about its unit for every item. All at least one. */
static inline dim3 ex_launch_grid(size_t units, size_t y, size_t z)
{
    const size_t limit = 65535, x = ex_launch_blocks(units);
    const size_t most_y = ex_divide_up(ex_launch_blocks_most(), x);
    const size_t grid_y = y < most_y ? y : most_y;
    const size_t most_z = ex_divide_up(most_y, grid_y > 0 ? grid_y : 1);
    const size_t grid_z = z < most_z ? z : most_z;
    return dim3((unsigned)x,
                (unsigned)(grid_y < 1       ? 1
                           : grid_y < limit ? grid_y
                                            : limit),
                (unsigned)(grid_z < 1       ? 1
                           : grid_z < limit ? grid_z
                                            : limit));
}

#endif
