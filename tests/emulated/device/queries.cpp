/* What there is, and what went wrong. */
#include "state.h"

#include <cstdio>
#include <cstring>

using namespace emulated;

namespace
{

bool is_device(int device)
{
    return device >= 0 && device < the().device_count;
}

void describe(cudaDeviceProp &p, int device)
{
    p = cudaDeviceProp{};
    snprintf(p.name, sizeof p.name, "emulated device %d", device);
    p.major = 9;
    p.totalGlobalMem = the().memory;
    p.multiProcessorCount = the().multiprocessors;
    p.warpSize = 32;
    p.maxThreadsPerBlock = 1024;
    p.maxThreadsDim[0] = p.maxThreadsDim[1] = 1024;
    p.maxThreadsDim[2] = 64;
    p.maxGridSize[0] = 2147483647;
    p.maxGridSize[1] = p.maxGridSize[2] = 65535;
    p.sharedMemPerBlock = 48 * 1024;
    p.regsPerBlock = 65536;
    p.unifiedAddressing = 1;
    p.canMapHostMemory = 1;
    p.concurrentKernels = 1;
    p.asyncEngineCount = 2;
    p.pciBusID = device + 1;
}

cudaError_t attribute(int &value, cudaDeviceAttr what, int device)
{
    cudaDeviceProp p;
    describe(p, device);
    switch (what) {
    case cudaDevAttrMultiProcessorCount:
        value = p.multiProcessorCount;
        break;
    case cudaDevAttrComputeCapabilityMajor:
        value = p.major;
        break;
    case cudaDevAttrComputeCapabilityMinor:
        value = p.minor;
        break;
    case cudaDevAttrWarpSize:
        value = p.warpSize;
        break;
    case cudaDevAttrMaxThreadsPerBlock:
        value = p.maxThreadsPerBlock;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
        value = (int)p.sharedMemPerBlock;
        break;
    case cudaDevAttrUnifiedAddressing:
        value = p.unifiedAddressing;
        break;
    case cudaDevAttrConcurrentKernels:
        value = p.concurrentKernels;
        break;
    case cudaDevAttrAsyncEngineCount:
        value = p.asyncEngineCount;
        break;
    case cudaDevAttrPciBusId:
        value = p.pciBusID;
        break;
    case cudaDevAttrMemoryPoolsSupported:
        value = 0;
        break;
    default:
        return cudaErrorNotSupported;
    }
    return cudaSuccess;
}

struct error_text {
    cudaError_t error;
    const char *name, *text;
};

/* Names as CUDA's; texts of our own. */
const error_text &text_of(cudaError_t error)
{
#define EX_ERROR(name, text)                                                                       \
    {                                                                                              \
        name, #name, text                                                                          \
    }
    static const error_text texts[] = {
        EX_ERROR(cudaSuccess, "no error"),
        EX_ERROR(cudaErrorInvalidValue, "invalid argument"),
        EX_ERROR(cudaErrorMemoryAllocation, "out of memory"),
        EX_ERROR(cudaErrorInvalidConfiguration, "invalid configuration of a launch"),
        EX_ERROR(cudaErrorInvalidMemcpyDirection, "kind of copy that its pointers are not"),
        EX_ERROR(cudaErrorNoDevice, "no device"),
        EX_ERROR(cudaErrorInvalidDevice, "invalid device"),
        EX_ERROR(cudaErrorInvalidResourceHandle, "invalid handle"),
        EX_ERROR(cudaErrorIllegalState, "not in this state"),
        EX_ERROR(cudaErrorNotReady, "not ready"),
        EX_ERROR(cudaErrorLaunchFailure, "a kernel or another work failed"),
        EX_ERROR(cudaErrorNotPermitted, "not permitted in queued work"),
        EX_ERROR(cudaErrorNotSupported, "not supported by the emulated device"),
        EX_ERROR(cudaErrorStreamCaptureUnsupported, "not permitted while a stream is captured"),
        EX_ERROR(cudaErrorStreamCaptureInvalidated, "the capture was invalidated before"),
        EX_ERROR(cudaErrorStreamCaptureMerge, "two captures would become one"),
        EX_ERROR(cudaErrorStreamCaptureUnmatched, "the capture began on another stream"),
        EX_ERROR(cudaErrorStreamCaptureUnjoined, "a stream of the capture was not waited for"),
        EX_ERROR(cudaErrorStreamCaptureIsolation, "a captured stream would wait for others' work"),
        EX_ERROR(cudaErrorStreamCaptureImplicit, "a captured stream meets the legacy stream"),
        EX_ERROR(cudaErrorStreamCaptureWrongThread, "the capture began in another thread"),
        EX_ERROR(cudaErrorCapturedEvent, "the event was last recorded in a capture"),
        EX_ERROR(cudaErrorUnknown, "unknown error"),
    };
#undef EX_ERROR
    static const error_text none = {cudaErrorUnknown, "unrecognized error code",
                                    "unrecognized error code"};
    for (const error_text &t : texts)
        if (t.error == error)
            return t;
    return none;
}

} // namespace

cudaError_t cudaGetDeviceCount(int *count)
{
    return call("cudaGetDeviceCount", WITHOUT_DEVICE, [&] {
        *count = the().device_count;
        return *count ? cudaSuccess : cudaErrorNoDevice;
    });
}

cudaError_t cudaSetDevice(int device)
{
    return call("cudaSetDevice", PLAIN, [&] {
        if (!is_device(device))
            return cudaErrorInvalidDevice;
        current_device() = device;
        return cudaSuccess;
    });
}

cudaError_t cudaGetDevice(int *device)
{
    return call("cudaGetDevice", PLAIN, [&] {
        *device = current_device();
        return cudaSuccess;
    });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *prop, int device)
{
    return call("cudaGetDeviceProperties", PLAIN, [&] {
        if (!is_device(device))
            return cudaErrorInvalidDevice;
        describe(*prop, device);
        return cudaSuccess;
    });
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attr, int device)
{
    return call("cudaDeviceGetAttribute", PLAIN, [&] {
        return is_device(device) ? attribute(*value, attr, device) : cudaErrorInvalidDevice;
    });
}

cudaError_t cudaDeviceGetPCIBusId(char *pciBusId, int len, int device)
{
    return call("cudaDeviceGetPCIBusId", PLAIN, [&] {
        if (!is_device(device) || len < 13)
            return cudaErrorInvalidValue;
        snprintf(pciBusId, (size_t)len, "0000:%02X:00.0", device + 1);
        return cudaSuccess;
    });
}

cudaError_t cudaDriverGetVersion(int *driverVersion)
{
    return call("cudaDriverGetVersion", WITHOUT_DEVICE, [&] {
        *driverVersion = the().device_count ? CUDART_VERSION : 0;
        return cudaSuccess;
    });
}

cudaError_t cudaRuntimeGetVersion(int *runtimeVersion)
{
    return call("cudaRuntimeGetVersion", WITHOUT_DEVICE, [&] {
        *runtimeVersion = CUDART_VERSION;
        return cudaSuccess;
    });
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t error = cudaPeekAtLastError();
    last_error() = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    const std::lock_guard<std::recursive_mutex> hold(the().lock);
    return device_broken() ? the().broken : last_error();
}

const char *cudaGetErrorName(cudaError_t error)
{
    return text_of(error).name;
}

const char *cudaGetErrorString(cudaError_t error)
{
    return text_of(error).text;
}
