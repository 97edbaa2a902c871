/* The trace of stages, as Chrome and Perfetto read it. */
#include "predictor/predictor.h"

#include <stdarg.h>
#include <stdio.h>

struct trace {
    bool (*write)(void *user, const char *text, size_t bytes);
    void *user;
    bool stopped;
};

static void say(struct trace *trace, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct trace *trace, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!trace->stopped && length > 0)
        trace->stopped = !trace->write(trace->user, text, (size_t)length);
}

/* With the mutex held: copies what began since then. In no order: readers of a trace sort its slices. */
static size_t copy_events(const struct meters *meters, int64_t since, struct event *to)
{
    size_t kept = meters->event_count < meters->event_room ? (size_t)meters->event_count : meters->event_room;
    size_t count = 0;
    for (size_t i = 0; i < kept; i++)
        if (meters->events[i].began >= since)
            to[count++] = meters->events[i];
    return count;
}

static int64_t first_began(const struct event *events, size_t count)
{
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < count; i++)
        first = events[i].began < first ? events[i].began : first;
    return first;
}

static void say_rows(struct trace *trace, const struct infer_predictor *predictor)
{
    say(trace, "{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\",\"args\":{\"name\":\"predictor\"}}");
    for (size_t i = 0; i < predictor->meters.row_count; i++) {
        bool worker = i < predictor->worker_room;
        say(trace, ",\n{\"ph\":\"M\",\"pid\":1,\"tid\":%zu,\"name\":\"thread_name\",\"args\":{\"name\":\"%s %zu\"}}", i,
            worker ? "worker" : "caller in context", worker ? i : i - predictor->worker_room);
    }
}

static void say_events(struct trace *trace, const struct event *events, size_t count, int64_t origin)
{
    static const char *const names[] = {"preprocess", "model", "postprocess"};
    for (size_t i = 0; i < count; i++)
        say(trace,
            ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":%u,\"name\":\"%s\",\"ts\":%.3f,\"dur\":%.3f,\"args\":{\"requests\":%"
            "llu}}",
            events[i].row, names[events[i].stage], (double)(events[i].began - origin) * 1e-3,
            (double)(events[i].ended - events[i].began) * 1e-3, (unsigned long long)events[i].requests);
}

infer_status infer_predictor_trace(infer_predictor *predictor, double seconds,
                                   bool (*write)(void *user, const char *text, size_t bytes), void *user,
                                   infer_error *error)
{
    if (!predictor || !write)
        return fail_missing(error, predictor ? "function to write with" : "predictor");
    const struct meters *meters = &predictor->meters;
    if (!meters->events)
        return fail(error, INFER_INVALID_ARGUMENT, "the predictor keeps no events: trace_events was 0");
    size_t bytes = meters->event_room * sizeof(struct event);
    struct event *events = allocate(&predictor->budget.allocator, bytes, ALIGNMENT);
    if (!events)
        return fail(error, INFER_OUT_OF_MEMORY, "out of memory for a trace of %s bytes", grouped(bytes).text);
    int64_t now = clock_now(), since = seconds < 0 ? INT64_MIN : now - clock_after(0, seconds);
    predictor_lock(predictor);
    size_t count = copy_events(meters, since, events);
    predictor_unlock(predictor);
    struct trace trace = {.write = write, .user = user};
    say(&trace, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
    say_rows(&trace, predictor);
    say_events(&trace, events, count, first_began(events, count));
    say(&trace, "\n]}\n");
    release(&predictor->budget.allocator, events, bytes);
    if (trace.stopped)
        return fail(error, INFER_IO, "the trace was stopped by who writes it");
    if (error)
        *error = (infer_error){.status = INFER_OK};
    return INFER_OK;
}
