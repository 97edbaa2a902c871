/* Chance, complaints, and the device that is emulated. */
#include "inside.h"

#include <cstdio>
#include <cstdlib>
#include <map>

namespace emulation
{

std::recursive_mutex lock;
cudaError_t failed = cudaSuccess;
bool counting;
emulation_counters *counters;

static uint64_t state = 1;
static char complaint[600];
static bool aborts = true;
static int capability = 90;

/* By the address of the kernel. */
static std::map<const void *, emulation_counters> counted;
extern "C" const char __executable_start;

void count_for(const void *kernel)
{
    counters = &counted[kernel];
    counters->kernel = (uintptr_t)kernel - (uintptr_t)&__executable_start;
}

uint64_t chance() /* splitmix64 */
{
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

unsigned chance_below(unsigned n)
{
    return (unsigned)((chance() >> 32) * n >> 32);
}

void complain_of(cudaError_t error, const char *format, va_list arguments)
{
    if (failed != cudaSuccess)
        return;
    failed = error;
    vsnprintf(complaint, sizeof complaint, format, arguments);
    if (aborts) {
        fprintf(stderr, "emulated GPU: %s\n", complaint);
        abort();
    }
}

void complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain_of(cudaErrorLaunchFailure, format, arguments);
    va_end(arguments);
}

} // namespace emulation

using namespace emulation;

extern "C" {

void emulation_seed(uint64_t seed)
{
    std::lock_guard<std::recursive_mutex> hold(lock);
    state = seed;
}

const char *emulation_complaint(void)
{
    return failed == cudaSuccess ? nullptr : complaint;
}

void emulation_abort_on_complaint(bool abort)
{
    aborts = abort;
}

void emulation_set_capability(int number)
{
    capability = number;
}

void emulation_count(bool on)
{
    counting = on;
}

size_t emulation_take_counters(emulation_counters *to, size_t most)
{
    std::lock_guard<std::recursive_mutex> hold(lock);
    size_t count = 0;
    for (const auto &kernel : counted)
        if (count < most)
            to[count++] = kernel.second;
    counted.clear();
    return count;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    return device == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    if (device != 0)
        return cudaErrorInvalidDevice;
    size_t free_bytes;
    *properties = {};
    snprintf(properties->name, sizeof properties->name, "emulated GPU");
    cudaMemGetInfo(&free_bytes, &properties->totalGlobalMem);
    properties->sharedMemPerBlock = 48 << 10;
    properties->sharedMemPerBlockOptin = SHARED_BYTES;
    properties->multiProcessorCount = 4;
    properties->major = capability / 10;
    properties->minor = capability % 10;
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = BLOCK_THREADS;
    properties->l2CacheSize = 1 << 20;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    cudaDeviceProp p;
    if (device != 0)
        return cudaErrorInvalidDevice;
    cudaGetDeviceProperties(&p, device);
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
        *value = p.maxThreadsPerBlock;
        return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
        *value = p.multiProcessorCount;
        return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
        *value = p.major;
        return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
        *value = p.minor;
        return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = (int)p.sharedMemPerBlockOptin;
        return cudaSuccess;
    }
    return cudaErrorInvalidValue;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

const char *cudaGetErrorName(cudaError_t error)
{
    switch (error) {
#define NAME(name) \
    case name:     \
        return #name;
        NAME(cudaSuccess)
        NAME(cudaErrorInvalidValue)
        NAME(cudaErrorMemoryAllocation)
        NAME(cudaErrorInvalidConfiguration)
        NAME(cudaErrorInsufficientDriver)
        NAME(cudaErrorInvalidDeviceFunction)
        NAME(cudaErrorNoDevice)
        NAME(cudaErrorInvalidDevice)
        NAME(cudaErrorInvalidResourceHandle)
        NAME(cudaErrorNotReady)
        NAME(cudaErrorIllegalAddress)
        NAME(cudaErrorMisalignedAddress)
        NAME(cudaErrorLaunchFailure)
        NAME(cudaErrorStreamCaptureUnsupported)
        NAME(cudaErrorStreamCaptureInvalidated)
        NAME(cudaErrorUnknown)
#undef NAME
    }
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "no error";
    case cudaErrorInvalidValue:
        return "invalid argument";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration argument";
    case cudaErrorNotReady:
        return "device not ready";
    case cudaErrorIllegalAddress:
        return "an illegal memory access was encountered";
    case cudaErrorMisalignedAddress:
        return "misaligned address";
    case cudaErrorLaunchFailure:
        return "unspecified launch failure";
    default:
        return cudaGetErrorName(error);
    }
}
}
