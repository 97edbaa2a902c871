/* The device by CUDA's runtime: the one file that includes its header. */
#include "runtime/device/device.h"

#include "graph/op.h"
#include "kernels/copy.h"

#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LEAST_CAPABILITY 75 /* that kernels are made for, in tenths */

struct device {
    pid_t process; /* that opened it; 0: none has */
    char name[256];
    unsigned bits;
    size_t bytes;
    cudaStream_t copies;       /* that somebody waits for */
    pthread_mutex_t uploading; /* of what follows */
    struct {
        void *memory; /* of the host, pinned; NULL: nothing large was uploaded yet, or there is none to be had */
        cudaEvent_t read;
    } buffers[2];
    struct allocator allocator;
};

static struct device the_device = {.uploading = PTHREAD_MUTEX_INITIALIZER};
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;

/* --- errors ---------------------------------------------------------------------------------------------- */

static enum status failed(struct error *error, const char *call, cudaError_t code)
{
    cudaGetLastError(); /* so that no later call is taken to have failed by it */
    return error_set(error, code == cudaErrorMemoryAllocation ? STATUS_OUT_OF_MEMORY : STATUS_DEVICE, "%s: %s (%s)",
                     call, cudaGetErrorString(code), cudaGetErrorName(code));
}

static enum status checked(cudaError_t code, const char *call, struct error *error)
{
    return code == cudaSuccess ? STATUS_OK : failed(error, call, code);
}

/* --- the device ------------------------------------------------------------------------------------------ */

static void *allocate_memory(void *user, size_t bytes, size_t alignment)
{
    void *memory;
    (void)alignment;
    device_take(user, bytes, "constants", &memory, NULL);
    return memory;
}

static void release_memory(void *user, void *memory, size_t bytes)
{
    (void)bytes;
    device_give_back(user, memory);
}

static enum status describe(struct device *device, struct error *error)
{
    struct cudaDeviceProp properties;
    TRY(checked(cudaSetDevice(0), "cudaSetDevice", error));
    TRY(checked(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties", error));
    if (properties.major * 10 + properties.minor < LEAST_CAPABILITY)
        return error_set(error, STATUS_UNSUPPORTED,
                         "the GPU '%s' has compute capability %d.%d; kernels are made for %d.%d and later",
                         legible(properties.name).text, properties.major, properties.minor, LEAST_CAPABILITY / 10,
                         LEAST_CAPABILITY % 10);
    snprintf(device->name, sizeof device->name, "%s", legible(properties.name).text);
    device->bits = DEVICE_CUDA | (properties.major >= 8 ? CUDA_SM80 : 0u);
    device->bytes = properties.totalGlobalMem;
    device->allocator = (struct allocator){allocate_memory, release_memory, device};
    return checked(cudaStreamCreateWithFlags(&device->copies, cudaStreamNonBlocking), "cudaStreamCreateWithFlags",
                   error);
}

static enum status open_first(struct device *device, struct error *error)
{
    int count = 0;
    cudaError_t code = cudaGetDeviceCount(&count);
    cudaGetLastError();
    if (code == cudaErrorInsufficientDriver)
        return error_set(error, STATUS_UNSUPPORTED,
                         "there is no NVIDIA driver, or it is older than this build's CUDA (cudaGetDeviceCount: %s)",
                         cudaGetErrorString(code));
    if (code == cudaErrorNoDevice || (code == cudaSuccess && count == 0))
        return error_set(error, STATUS_UNSUPPORTED, "there is no GPU (cudaGetDeviceCount: %s)",
                         cudaGetErrorString(cudaErrorNoDevice));
    if (code != cudaSuccess)
        return error_set(error, STATUS_UNSUPPORTED, "the GPU cannot be used (cudaGetDeviceCount: %s)",
                         cudaGetErrorString(code));
    TRY(describe(device, error));
    device->process = getpid();
    return STATUS_OK;
}

enum status device_open(struct device **device, struct error *error)
{
    enum status status = STATUS_OK;
    *device = NULL;
    pthread_mutex_lock(&opening);
    if (the_device.process == 0)
        status = open_first(&the_device, error);
    else if (the_device.process != getpid())
        status =
            error_set(error, STATUS_UNSUPPORTED, "the GPU was opened by the process that this one forked off from");
    pthread_mutex_unlock(&opening);
    if (status == STATUS_OK)
        *device = &the_device;
    return status;
}

const char *device_name(const struct device *device)
{
    return device->name;
}

unsigned device_bits(const struct device *device)
{
    return device->bits;
}

size_t device_bytes(const struct device *device)
{
    return device->bytes;
}

/* What was opened before a fork is the other process's. */
static bool is_ours(const struct device *device)
{
    return device->process == getpid();
}

/* --- memory ---------------------------------------------------------------------------------------------- */

enum status device_free_bytes(const struct device *device, size_t *bytes, struct error *error)
{
    size_t total;
    (void)device;
    return checked(cudaMemGetInfo(bytes, &total), "cudaMemGetInfo", error);
}

enum status device_take(const struct device *device, size_t bytes, const char *what, void **memory, struct error *error)
{
    size_t unused = 0, total = device->bytes;
    *memory = NULL;
    cudaError_t code = cudaMalloc(memory, bytes);
    if (code == cudaSuccess)
        return STATUS_OK;
    *memory = NULL;
    cudaGetLastError();
    cudaMemGetInfo(&unused, &total);
    return error_set(error, code == cudaErrorMemoryAllocation ? STATUS_OUT_OF_MEMORY : STATUS_DEVICE,
                     "cudaMalloc of %s bytes for %s, of which %s are free: %s", grouped(bytes).text, what,
                     grouped(unused).text, cudaGetErrorString(code));
}

void device_give_back(const struct device *device, void *memory)
{
    if (memory && is_ours(device))
        cudaFree(memory);
}

bool device_owns(const struct device *device, const void *memory)
{
    struct cudaPointerAttributes found;
    (void)device;
    if (cudaPointerGetAttributes(&found, memory) != cudaSuccess) {
        cudaGetLastError();
        return false;
    }
    return (found.type == cudaMemoryTypeDevice || found.type == cudaMemoryTypeManaged) && found.device == 0;
}

const struct allocator *device_allocator(const struct device *device)
{
    return &device->allocator;
}

enum status device_take_host(const struct device *device, size_t bytes, const char *what, void **memory,
                             struct error *error)
{
    (void)device;
    *memory = NULL;
    cudaError_t code = cudaMallocHost(memory, bytes);
    if (code == cudaSuccess)
        return STATUS_OK;
    *memory = NULL;
    cudaGetLastError();
    return error_set(error, code == cudaErrorMemoryAllocation ? STATUS_OUT_OF_MEMORY : STATUS_DEVICE,
                     "cudaMallocHost of %s bytes for %s: %s", grouped(bytes).text, what, cudaGetErrorString(code));
}

void device_give_back_host(const struct device *device, void *memory)
{
    if (memory && is_ours(device))
        cudaFreeHost(memory);
}

/* --- streams --------------------------------------------------------------------------------------------- */

enum status device_stream_create(void **stream, struct error *error)
{
    cudaStream_t made = NULL;
    enum status status =
        checked(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "cudaStreamCreateWithFlags", error);
    *stream = made;
    return status;
}

void device_stream_destroy(const struct device *device, void *stream)
{
    if (stream && is_ours(device))
        cudaStreamDestroy(stream);
}

enum status device_stream_wait(void *stream, struct error *error)
{
    return checked(cudaStreamSynchronize(stream), "cudaStreamSynchronize", error);
}

static cudaError_t enqueue_copy(void *to, const void *from, size_t bytes, enum device_direction direction, void *stream)
{
    static const enum cudaMemcpyKind kinds[] = {cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost,
                                                cudaMemcpyDeviceToDevice};
    return cudaMemcpyAsync(to, from, bytes, kinds[direction], stream);
}

enum status device_copy(void *to, const void *from, size_t bytes, enum device_direction direction, void *stream,
                        struct error *error)
{
    return bytes ? checked(enqueue_copy(to, from, bytes, direction, stream), "cudaMemcpyAsync", error) : STATUS_OK;
}

enum status device_clear(void *memory, size_t bytes, void *stream, struct error *error)
{
    return checked(cudaMemsetAsync(memory, 0, bytes, stream), "cudaMemsetAsync", error);
}

/* --- uploads --------------------------------------------------------------------------------------------- */

#define BUFFER_BYTES ((size_t)1 << 20)

static bool take_buffers(struct device *device)
{
    for (size_t i = 0; i < 2; i++) {
        if (!device->buffers[i].read &&
            cudaEventCreateWithFlags(&device->buffers[i].read, cudaEventDisableTiming) != cudaSuccess)
            device->buffers[i].read = NULL;
        if (!device->buffers[i].memory && cudaMallocHost(&device->buffers[i].memory, BUFFER_BYTES) != cudaSuccess)
            device->buffers[i].memory = NULL;
    }
    cudaGetLastError();
    return device->buffers[0].memory && device->buffers[0].read && device->buffers[1].memory && device->buffers[1].read;
}

/* While the device reads one buffer, the host fills the other. */
static enum status upload_parts(struct device *device, char *to, const char *from, size_t bytes, struct error *error)
{
    for (size_t at = 0, part = 0; at < bytes; at += BUFFER_BYTES, part++) {
        void *buffer = device->buffers[part % 2].memory;
        cudaEvent_t read = device->buffers[part % 2].read;
        size_t count = bytes - at < BUFFER_BYTES ? bytes - at : BUFFER_BYTES;
        if (part >= 2)
            TRY(checked(cudaEventSynchronize(read), "cudaEventSynchronize", error));
        memcpy(buffer, from + at, count);
        TRY(device_copy(to + at, buffer, count, DEVICE_FROM_HOST, device->copies, error));
        TRY(checked(cudaEventRecord(read, device->copies), "cudaEventRecord", error));
    }
    return STATUS_OK;
}

/* What is large goes through memory that the device copies from by itself: the driver would wait for each part. Nothing
 * of it is under way on return. */
static bool upload(struct device *device, void *to, const void *from, size_t bytes, enum status *status,
                   struct error *error)
{
    pthread_mutex_lock(&device->uploading);
    bool done = take_buffers(device);
    if (done) {
        *status = upload_parts(device, to, from, bytes, error);
        enum status waited = device_stream_wait(device->copies, *status == STATUS_OK ? error : NULL);
        *status = *status == STATUS_OK ? waited : *status;
    }
    pthread_mutex_unlock(&device->uploading);
    return done;
}

enum status device_copy_now(const struct device *device, void *to, const void *from, size_t bytes,
                            enum device_direction direction, struct error *error)
{
    enum status status = STATUS_OK;
    bool is_large = direction == DEVICE_FROM_HOST && bytes > BUFFER_BYTES / 4;
    if (is_large && upload((struct device *)(uintptr_t)device, to, from, bytes, &status, error))
        return status;
    TRY(device_copy(to, from, bytes, direction, device->copies, error));
    return device_stream_wait(device->copies, error);
}

/* --- events ---------------------------------------------------------------------------------------------- */

enum status device_event_create(bool timed, void **event, struct error *error)
{
    cudaEvent_t made = NULL;
    enum status status = checked(cudaEventCreateWithFlags(&made, timed ? cudaEventDefault : cudaEventDisableTiming),
                                 "cudaEventCreateWithFlags", error);
    *event = made;
    return status;
}

void device_event_destroy(const struct device *device, void *event)
{
    if (event && is_ours(device))
        cudaEventDestroy(event);
}

enum status device_event_record(void *event, void *stream, struct error *error)
{
    return checked(cudaEventRecord(event, stream), "cudaEventRecord", error);
}

enum status device_event_wait(void *event, struct error *error)
{
    return checked(cudaEventSynchronize(event), "cudaEventSynchronize", error);
}

enum status device_event_seconds(void *first, void *last, double *seconds, struct error *error)
{
    float milliseconds = 0;
    TRY(checked(cudaEventElapsedTime(&milliseconds, first, last), "cudaEventElapsedTime", error));
    *seconds = milliseconds * 1e-3;
    return STATUS_OK;
}

/* --- graphs ---------------------------------------------------------------------------------------------- */

enum status device_capture_begin(void *stream, struct error *error)
{
    return checked(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture", error);
}

enum status device_capture_end(void *stream, void **graph, struct error *error)
{
    cudaGraph_t captured = NULL;
    cudaGraphExec_t made = NULL;
    *graph = NULL;
    TRY(checked(cudaStreamEndCapture(stream, &captured), "cudaStreamEndCapture", error));
    enum status status = checked(cudaGraphInstantiate(&made, captured, 0), "cudaGraphInstantiate", error);
    cudaGraphDestroy(captured);
    if (status == STATUS_OK)
        *graph = made;
    return status;
}

enum status device_graph_launch(void *graph, void *stream, struct error *error)
{
    return checked(cudaGraphLaunch(graph, stream), "cudaGraphLaunch", error);
}

void device_graph_destroy(const struct device *device, void *graph)
{
    if (graph && is_ours(device))
        cudaGraphExecDestroy(graph);
}

/* --- copies as steps ------------------------------------------------------------------------------------- */

static void enqueue(const struct kernel_plan *plan, const struct kernel_call *call, enum device_direction direction)
{
    const struct copy_params *params = plan->params;
    cudaError_t code =
        enqueue_copy(call->outputs[0], call->inputs[0], (size_t)params->dims[0], direction, call->stream);
    if (code == cudaSuccess)
        return;
    cudaGetLastError();
    kernel_fault(call, "cudaMemcpyAsync: %s (%s)", cudaGetErrorString(code), cudaGetErrorName(code));
}

static void run_to_device(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    (void)task;
    enqueue(plan, call, DEVICE_FROM_HOST);
}

static void run_to_host(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    (void)task;
    enqueue(plan, call, DEVICE_TO_HOST);
}

static void run_within(const struct kernel_plan *plan, const struct kernel_call *call, int task)
{
    (void)task;
    enqueue(plan, call, DEVICE_WITHIN);
}

static const struct kernel to_device = {
    .name = "copy_to_device", .family = FAMILY_copy, .requires = DEVICE_CUDA, .run = run_to_device};
static const struct kernel to_host = {
    .name = "copy_to_host", .family = FAMILY_copy, .requires = DEVICE_CUDA, .run = run_to_host};

static const struct kernel within = {
    .name = "copy_within_device", .family = FAMILY_copy, .requires = DEVICE_CUDA, .run = run_within};

const struct kernel *device_transfer_kernel(enum device_direction direction)
{
    static const struct kernel *const kernels[] = {&to_device, &to_host, &within};
    return kernels[direction];
}
