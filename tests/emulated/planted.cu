#include "planted.h"

#include "launch.h"
#include "stream.h"

static const ex_stream stream = {1, nullptr};

static __global__ void scan_kernel(int *out, bool barrier)
{
    EX_SHARED(int, total, PLANTED_THREADS / EX_WARP);
    const int t = (int)threadIdx.x, lane = t % EX_WARP;
    int sum = t;
    for (int lanes = 1; lanes < EX_WARP; lanes *= 2) {
        const int below = __shfl_up_sync(EX_FULL_WARP, sum, (unsigned)lanes);
        sum += lane >= lanes ? below : 0;
    }
    if (lane == EX_WARP - 1)
        total[t / EX_WARP] = sum;
    if (barrier)
        __syncthreads();
    out[(int)blockIdx.x * PLANTED_THREADS + t] = sum + (t >= EX_WARP ? total[0] : 0);
}

static __global__ void stale_kernel(float *out)
{
    EX_SHARED(float, value, 1);
    if (blockIdx.x == 0)
        value[0] = 7.0f;
    out[blockIdx.x] = value[0];
}

static __global__ void overrun_kernel(float *out, int at)
{
    EX_SHARED(float, value, 4);
    value[at] = 1.0f;
    out[0] = value[at];
}

static __global__ void divergent_kernel(int odd)
{
    if ((int)(threadIdx.x % 2) == odd)
        __syncthreads();
}

static __global__ void missing_lane_kernel(int *out)
{
    if (threadIdx.x == 5)
        return;
    out[threadIdx.x] = __shfl_xor_sync(EX_FULL_WARP, (int)threadIdx.x, 1);
}

static __global__ void barrier_kernel(int *out)
{
    __syncthreads();
    if (out)
        *out = 1;
}

static __global__ void index_kernel(int *out)
{
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    const unsigned i = block * blockDim.x * blockDim.y * blockDim.z + thread;
    out[i] = (int)i;
}

static __global__ void difference_kernel(int *out, planted_shape s, int a, int b)
{
    out[0] = s.a == a && s.b == b ? a - b : -1;
}

void planted_difference(int *out, const planted_shape *s)
{
    EX_LAUNCH(difference_kernel, 1, 1, 0, stream, out, *s, s->a, s->b);
}

void planted_scan(int *out)
{
    EX_LAUNCH_TOGETHER(scan_kernel, PLANTED_BLOCKS, PLANTED_THREADS, 0, stream, out, true);
}

void planted_scan_without_barrier(int *out)
{
    EX_LAUNCH_TOGETHER(scan_kernel, PLANTED_BLOCKS, PLANTED_THREADS, 0, stream, out, false);
}

void planted_stale_shared(float *out)
{
    EX_LAUNCH(stale_kernel, PLANTED_BLOCKS, 1, 0, stream, out);
}

void planted_shared_overrun(float *out)
{
    EX_LAUNCH(overrun_kernel, 1, 1, 0, stream, out, 4);
}

void planted_divergent_barrier(void)
{
    EX_LAUNCH_TOGETHER(divergent_kernel, 1, PLANTED_THREADS, 0, stream, 1);
}

void planted_missing_lane(int *out)
{
    EX_LAUNCH_TOGETHER(missing_lane_kernel, 1, EX_WARP, 0, stream, out);
}

void planted_barrier_in_plain_launch(void)
{
    EX_LAUNCH(barrier_kernel, 1, PLANTED_THREADS, 0, stream, nullptr);
}

void planted_empty_grid(void)
{
    EX_LAUNCH(barrier_kernel, 0, PLANTED_THREADS, 0, stream, nullptr);
}

void planted_large_block(void)
{
    EX_LAUNCH(barrier_kernel, 1, 1025, 0, stream, nullptr);
}

void planted_indexes(int *out)
{
    EX_LAUNCH(index_kernel, dim3(2, 3, 2), dim3(5, 2, 3), 0, stream, out);
}

void planted_library_call(int *out, void *queue)
{
    const void *const operand = out;
    ex_emulated_operands("planted_library_call", &operand, 1);
    ex_emulated_enqueue(queue, "planted_library_call", [out] { ++*out; });
}
