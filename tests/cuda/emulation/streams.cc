/* Streams, events and graphs. What is enqueued runs later: at calls that wait, and by chance at any other call; and of
 * several streams in any order that events allow. So a wait that is missing shows. */
#include "inside.h"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <unistd.h>
#include <vector>

struct event_state {
    uint64_t recorded = 0, completed = 0;
};

struct work {
    std::function<void()> run;
    std::shared_ptr<event_state> wait; /* until it has completed `number` */
    uint64_t number = 0;
    bool computes = false;
};

struct CUstream_st {
    std::deque<work> queue;
    struct CUgraph_st *capture = nullptr;
};

struct CUevent_st {
    std::shared_ptr<event_state> state = std::make_shared<event_state>();
};

struct CUgraph_st {
    std::vector<work> nodes;
};

struct CUgraphExec_st {
    std::shared_ptr<std::vector<work>> nodes;
};

namespace emulation
{

static std::set<cudaStream_t> streams;
static std::set<cudaEvent_t> events;
static int graphs;
static cudaError_t last = cudaSuccess;
static std::map<const void *, size_t> allowed_shared;
static bool holds_next; /* the next stream that comes to a kernel is held */
static cudaStream_t held;

static cudaError_t give(cudaError_t error)
{
    if (error != cudaSuccess)
        last = error;
    return error;
}

static bool is_ready(const work &w)
{
    return !w.wait || w.wait->completed >= w.number;
}

static bool step(cudaStream_t stream)
{
    if (stream->queue.empty() || !is_ready(stream->queue.front()))
        return false;
    if (holds_next && stream->queue.front().computes) {
        holds_next = false;
        held = stream;
    }
    if (stream == held)
        return false;
    work w = std::move(stream->queue.front());
    stream->queue.pop_front();
    if (failed == cudaSuccess && w.run)
        w.run();
    return true;
}

/* Runs one thing of some stream. False: there is none, or all wait. */
static bool step_any()
{
    if (streams.empty())
        return false;
    size_t first = chance_below((unsigned)streams.size());
    std::vector<cudaStream_t> all(streams.begin(), streams.end());
    for (size_t i = 0; i < all.size(); i++)
        if (step(all[(first + i) % all.size()]))
            return true;
    return false;
}

static void by_chance()
{
    if (chance_below(4) == 0)
        for (unsigned n = 1 + chance_below(3); n > 0 && step_any(); n--)
            ;
    close_window();
}

template <typename F> static cudaError_t run_until(F done)
{
    while (failed == cudaSuccess && !done())
        if (!step_any()) {
            if (held) { /* another thread lets it go */
                lock.unlock();
                usleep(100);
                lock.lock();
                continue;
            }
            complain("a wait that never ends: what is waited for was not enqueued");
            break;
        }
    close_window();
    return give(failed);
}

static cudaError_t enqueue(cudaStream_t stream, work w)
{
    if (failed != cudaSuccess)
        return give(failed);
    if (!streams.count(stream)) /* the default stream, which orders all others, is not for us */
        return give(cudaErrorInvalidResourceHandle);
    if (stream->capture)
        stream->capture->nodes.push_back(std::move(w));
    else
        stream->queue.push_back(std::move(w));
    if (!stream->capture)
        by_chance();
    return give(failed);
}

cudaError_t launch(caller *call, const void *kernel, const shape &shape, cudaStream_t stream, const void *arguments,
                   size_t bytes)
{
    std::lock_guard<std::recursive_mutex> hold(lock);
    uint64_t threads = (uint64_t)shape.block.x * shape.block.y * shape.block.z;
    size_t most_shared = allowed_shared.count(kernel) ? allowed_shared[kernel] : 48 << 10;
    if (threads == 0 || threads > BLOCK_THREADS || shape.block.z > 64 || shape.grid.x == 0 || shape.grid.y == 0 ||
        shape.grid.z == 0 || shape.grid.x > 0x7fffffff || shape.grid.y > 65535 || shape.grid.z > 65535)
        return give(cudaErrorInvalidConfiguration);
    if (shape.shared > most_shared || bytes > 4096)
        return give(cudaErrorInvalidValue);
    auto copy = std::make_shared<std::vector<unsigned char>>((const unsigned char *)arguments,
                                                             (const unsigned char *)arguments + bytes);
    emulation::shape kept = shape;
    return enqueue(stream, {[=] {
                                open_window();
                                run_kernel(call, kernel, kept, copy->data());
                            },
                            nullptr, 0, true});
}

void allow_shared(const void *kernel, size_t bytes)
{
    std::lock_guard<std::recursive_mutex> hold(lock);
    allowed_shared[kernel] = bytes < SHARED_BYTES ? bytes : SHARED_BYTES;
}

static bool is_device(const void *pointer, size_t bytes)
{
    return bytes == 0 || !memory_fault(pointer, bytes);
}

static cudaError_t copy_fits(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if ((to_device && !is_device(to, bytes)) || (from_device && !is_device(from, bytes)) ||
        (!to_device && in_window(to)) || (!from_device && in_window(from)))
        return cudaErrorInvalidValue;
    return cudaSuccess;
}

static void copy_now(void *to, const void *from, size_t bytes)
{
    open_window();
    memmove(to, from, bytes);
}

} // namespace emulation

using namespace emulation;
typedef std::lock_guard<std::recursive_mutex> guard;

extern "C" {

int emulation_pinned(void);

int emulation_objects(void)
{
    guard hold(lock);
    return (int)(streams.size() + events.size()) + graphs + emulation_pinned();
}

void emulation_reset(void)
{
    guard hold(lock);
    for (cudaStream_t stream : streams)
        stream->queue.clear();
    holds_next = false;
    held = nullptr;
    failed = last = cudaSuccess;
    close_window();
}

void emulation_hold_kernel(void)
{
    guard hold(lock);
    holds_next = true;
}

bool emulation_holds(void)
{
    guard hold(lock);
    return held != nullptr;
}

void emulation_let_go(void)
{
    guard hold(lock);
    holds_next = false;
    held = nullptr;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last;
    last = failed;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last;
}

cudaError_t cudaDeviceSynchronize(void)
{
    guard hold(lock);
    return run_until([] {
        for (cudaStream_t stream : streams)
            if (!stream->queue.empty())
                return false;
        return true;
    });
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    guard hold(lock);
    cudaError_t error = failed ? failed : copy_fits(to, from, bytes, kind);
    if (error == cudaSuccess)
        copy_now(to, from, bytes); /* it waits for no stream of ours: they are all non-blocking */
    close_window();
    return give(error);
}

/* Memory of the host that is not pinned is read before the call returns, and written before it returns. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    guard hold(lock);
    cudaError_t error = copy_fits(to, from, bytes, kind);
    if (error != cudaSuccess)
        return give(error);
    if (kind == cudaMemcpyHostToDevice && !is_pinned(from)) {
        auto staged = std::make_shared<std::vector<unsigned char>>((const unsigned char *)from,
                                                                   (const unsigned char *)from + bytes);
        return enqueue(stream, {[=] { copy_now(to, staged->data(), bytes); }, nullptr, 0});
    }
    error = enqueue(stream, {[=] { copy_now(to, from, bytes); }, nullptr, 0});
    if (error == cudaSuccess && kind == cudaMemcpyDeviceToHost && !is_pinned(to) && !stream->capture)
        return cudaStreamSynchronize(stream);
    return error;
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream)
{
    guard hold(lock);
    if (!is_device(memory, bytes))
        return give(cudaErrorInvalidValue);
    return enqueue(stream, {[=] {
                                open_window();
                                memset(memory, value, bytes);
                            },
                            nullptr, 0});
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *user)
{
    guard hold(lock);
    return enqueue(stream, {[=] {
                                open_window();
                                function(user);
                            },
                            nullptr, 0, true});
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    guard hold(lock);
    *stream = nullptr;
    if (flags != cudaStreamNonBlocking)
        return give(cudaErrorInvalidValue);
    *stream = new CUstream_st;
    streams.insert(*stream);
    return give(failed);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    guard hold(lock);
    if (!streams.count(stream))
        return give(cudaErrorInvalidResourceHandle);
    cudaError_t error = cudaStreamSynchronize(stream);
    streams.erase(stream);
    delete stream;
    return error;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    guard hold(lock);
    if (!streams.count(stream))
        return give(cudaErrorInvalidResourceHandle);
    if (stream->capture)
        return give(cudaErrorStreamCaptureUnsupported);
    return run_until([=] { return stream->queue.empty(); });
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    guard hold(lock);
    if (!streams.count(stream))
        return give(cudaErrorInvalidResourceHandle);
    by_chance();
    return failed ? give(failed) : stream->queue.empty() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    guard hold(lock);
    if (!events.count(event))
        return give(cudaErrorInvalidResourceHandle);
    return enqueue(stream, {nullptr, event->state, event->state->recorded});
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    guard hold(lock);
    *event = new CUevent_st;
    events.insert(*event);
    return give(failed);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    guard hold(lock);
    if (!events.erase(event))
        return give(cudaErrorInvalidResourceHandle);
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    guard hold(lock);
    if (!events.count(event))
        return give(cudaErrorInvalidResourceHandle);
    std::shared_ptr<event_state> state = event->state;
    uint64_t number = ++state->recorded;
    return enqueue(stream,
                   {[=] { state->completed = state->completed < number ? number : state->completed; }, nullptr, 0});
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    guard hold(lock);
    if (!events.count(event))
        return give(cudaErrorInvalidResourceHandle);
    uint64_t number = event->state->recorded;
    return run_until([=] { return event->state->completed >= number; });
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    guard hold(lock);
    if (!events.count(event))
        return give(cudaErrorInvalidResourceHandle);
    by_chance();
    return failed ? give(failed) : event->state->completed >= event->state->recorded ? cudaSuccess : cudaErrorNotReady;
}

/* Time on the emulated device means nothing: a microsecond whatever it did. */
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t first, cudaEvent_t last_event)
{
    guard hold(lock);
    *milliseconds = 0.001f;
    if (!events.count(first) || !events.count(last_event))
        return give(cudaErrorInvalidResourceHandle);
    bool done = first->state->completed >= first->state->recorded &&
                last_event->state->completed >= last_event->state->recorded;
    return done ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode)
{
    guard hold(lock);
    if (!streams.count(stream) || stream->capture)
        return give(cudaErrorInvalidValue);
    stream->capture = new CUgraph_st;
    graphs++;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    guard hold(lock);
    *graph = nullptr;
    if (!streams.count(stream) || !stream->capture)
        return give(cudaErrorInvalidValue);
    *graph = stream->capture;
    stream->capture = nullptr;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long)
{
    guard hold(lock);
    *executable = new CUgraphExec_st{std::make_shared<std::vector<work>>(graph->nodes)};
    graphs++;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream)
{
    guard hold(lock);
    cudaError_t error = failed;
    for (size_t i = 0; i < executable->nodes->size() && error == cudaSuccess; i++)
        error = enqueue(stream, (*executable->nodes)[i]);
    return give(error);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable)
{
    guard hold(lock);
    graphs--;
    delete executable;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    guard hold(lock);
    graphs--;
    delete graph;
    return cudaSuccess;
}
}
