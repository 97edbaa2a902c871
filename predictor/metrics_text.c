/* Metrics as text: JSON, and what Prometheus reads. */
#include "predictor/predictor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Text that is counted to its end, and written as far as there is room. */
struct text {
    char *to;
    size_t room, length;
    const char *labels;
};

static void say(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct text *text, const char *format, ...)
{
    size_t left = text->length < text->room ? text->room - text->length : 0;
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(left ? text->to + text->length : NULL, left, format, arguments);
    va_end(arguments);
    text->length += written > 0 ? (size_t)written : 0;
}

/* What both formats have in common: numbers with a name, and what they mean. */
static const struct number {
    const char *name, *help;
    bool counts; /* it only grows */
    bool real;
    size_t offset; /* of a double or a 64-bit number in infer_metrics */
} numbers[] = {
#define COUNTER(name, help)                                     \
    {                                                           \
#name, help, true, false, offsetof(infer_metrics, name) \
    }
#define GAUGE(name, help)                                        \
    {                                                            \
#name, help, false, false, offsetof(infer_metrics, name) \
    }
    {"seconds", "Time since the predictor was made", false, true, offsetof(infer_metrics, seconds)},
    COUNTER(requests, "Requests that have ended"),
    {"throughput", "Requests that ended well, a second, since the beginning", false, true,
     offsetof(infer_metrics, throughput)},
    GAUGE(waiting, "Requests that have not begun"),
    GAUGE(under_way, "Requests that have not ended"),
    GAUGE(most_waiting, "The most requests that have waited at once"),
    COUNTER(runs, "Runs of the model"),
    COUNTER(run_requests, "Requests in those runs"),
    GAUGE(overdue_hooks, "Calls of hooks that have taken longer than they may"),
    COUNTER(cache_lookups, "Requests that were looked for in the cache"),
    COUNTER(cache_hits, "Requests that were found in the cache"),
    COUNTER(cache_shared, "Requests that shared the run of an equal one"),
    COUNTER(cache_evictions, "Results that left the cache for others"),
    GAUGE(cache_bytes, "Bytes that the cache holds"),
    GAUGE(cache_entries, "Results that the cache holds"),
    GAUGE(predictor_bytes, "Bytes that the predictor holds beside model and session"),
};
_Static_assert(sizeof(size_t) == sizeof(uint64_t), "numbers are read as 64 bits");

static const struct number memory_numbers[] = {
#define BYTES(name, help)                                               \
    {                                                                   \
#name, help, false, false, offsetof(infer_metrics, memory.name) \
    }
    BYTES(weight_bytes, "Weights"),
    BYTES(constant_bytes, "Constants that were folded"),
    BYTES(packed_bytes, "What was made of weights"),
    BYTES(table_bytes, "Graphs, programs and names"),
    BYTES(arena_bytes, "Activations of a context"),
    BYTES(workspace_bytes, "The largest workspace of a step"),
    BYTES(held_bytes, "All that model, session and contexts hold"),
};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct stage_latency {
    const char *name;
    size_t offset;
} latencies[METERS] = {
    {"total", offsetof(infer_metrics, total)},
    {"queue", offsetof(infer_metrics, queue)},
    {"preprocess", offsetof(infer_metrics, preprocess)},
    {"model", offsetof(infer_metrics, model)},
    {"postprocess", offsetof(infer_metrics, postprocess)},
};

static const infer_latency *latency_at(const infer_metrics *metrics, int index)
{
    return (const infer_latency *)(const void *)((const char *)metrics + latencies[index].offset);
}

static void say_number(struct text *text, const infer_metrics *metrics, const struct number *number)
{
    const char *at = (const char *)metrics + number->offset;
    if (number->real) {
        double value;
        memcpy(&value, at, sizeof value);
        say(text, "%.9g", value);
    } else {
        uint64_t value;
        memcpy(&value, at, sizeof value);
        say(text, "%llu", (unsigned long long)value);
    }
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static void say_numbers(struct text *text, const infer_metrics *metrics, const struct number *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        say(text, "%s\"%s\":", i ? "," : "", from[i].name);
        say_number(text, metrics, &from[i]);
    }
}

size_t infer_metrics_json(const infer_metrics *metrics, char *buffer, size_t capacity)
{
    struct text text = {.to = buffer, .room = buffer ? capacity : 0};
    if (!metrics)
        return 0;
    say(&text, "{");
    say_numbers(&text, metrics, numbers, COUNT(numbers));
    say(&text, ",\"cache_backs_off\":%s,\"by_status\":{", metrics->cache_backs_off ? "true" : "false");
    for (int i = 0; i < INFER_STATUS_COUNT; i++)
        say(&text, "%s\"%s\":%llu", i ? "," : "", infer_status_name((infer_status)i),
            (unsigned long long)metrics->by_status[i]);
    say(&text, "},\"runs_by_size\":[");
    for (int i = 0; i < INFER_BATCH_SIZES; i++)
        say(&text, "%s%llu", i ? "," : "", (unsigned long long)metrics->runs_by_size[i]);
    say(&text, "]");
    for (int i = 0; i < METERS; i++) {
        const infer_latency *l = latency_at(metrics, i);
        say(&text,
            ",\"%s\":{\"count\":%llu,\"sum\":%.9g,\"p50\":%.9g,\"p90\":%.9g,\"p99\":%.9g,\"p999\":%.9g,\"max\":%.9g}",
            latencies[i].name, (unsigned long long)l->count, l->sum, l->p50, l->p90, l->p99, l->p999, l->max);
    }
    say(&text, ",\"memory\":{");
    say_numbers(&text, metrics, memory_numbers, COUNT(memory_numbers));
    say(&text, "}");
    for (size_t i = 0; i < metrics->gpu_count; i++)
        say(&text, "%s{\"index\":%u,\"utilization\":%.9g,\"memory_used\":%zu,\"memory_total\":%zu}",
            i ? "," : ",\"gpus\":[", metrics->gpus[i].index, metrics->gpus[i].utilization, metrics->gpus[i].memory_used,
            metrics->gpus[i].memory_total);
    say(&text, metrics->gpu_count ? "]}" : "}");
    return text.length;
}

/* --- Prometheus --------------------------------------------------------------------------------------------------- */

static void say_head(struct text *text, const char *name, const char *type, const char *help)
{
    say(text, "# HELP infer_%s %s\n# TYPE infer_%s %s\n", name, help, name, type);
}

/* infer_NAME{LABELS,key="value"}, and a space. */
static void say_name(struct text *text, const char *name, const char *key, const char *value)
{
    bool labels = text->labels && text->labels[0];
    say(text, "infer_%s", name);
    if (labels || key)
        say(text, "{%s%s", labels ? text->labels : "", labels && key ? "," : "");
    if (key)
        say(text, "%s=\"%s\"", key, value);
    say(text, "%s ", labels || key ? "}" : "");
}

static void say_metric(struct text *text, const infer_metrics *metrics, const struct number *number, const char *prefix)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s%s", prefix, number->name, number->counts ? "_total" : "");
    say_head(text, name, number->counts ? "counter" : "gauge", number->help);
    say_name(text, name, NULL, NULL);
    say_number(text, metrics, number);
    say(text, "\n");
}

static void say_summary(struct text *text, const char *stage, const infer_latency *latency)
{
    const struct {
        const char *name;
        double value;
    } quantiles[] = {{"0.5", latency->p50},
                     {"0.9", latency->p90},
                     {"0.99", latency->p99},
                     {"0.999", latency->p999},
                     {"1", latency->max}};
    char label[64];
    for (size_t i = 0; i < COUNT(quantiles); i++) {
        snprintf(label, sizeof label, "%s\",quantile=\"%s", stage, quantiles[i].name);
        say_name(text, "latency_seconds", "stage", label);
        say(text, "%.9g\n", quantiles[i].value);
    }
    say_name(text, "latency_seconds_sum", "stage", stage);
    say(text, "%.9g\n", latency->sum);
    say_name(text, "latency_seconds_count", "stage", stage);
    say(text, "%llu\n", (unsigned long long)latency->count);
}

/* Sizes are upper ends, so they make a histogram as they are. */
static void say_batches(struct text *text, const infer_metrics *metrics)
{
    uint64_t runs = 0;
    char size[24];
    say_head(text, "batch_size", "histogram", "Requests in a run");
    for (int i = 0; i < INFER_BATCH_SIZES; i++) {
        runs += metrics->runs_by_size[i];
        snprintf(size, sizeof size, "%u", 1u << i);
        say_name(text, "batch_size_bucket", "le", i + 1 < INFER_BATCH_SIZES ? size : "+Inf");
        say(text, "%llu\n", (unsigned long long)runs);
    }
    say_name(text, "batch_size_sum", NULL, NULL);
    say(text, "%llu\n", (unsigned long long)metrics->run_requests);
    say_name(text, "batch_size_count", NULL, NULL);
    say(text, "%llu\n", (unsigned long long)runs);
}

static void say_gpus(struct text *text, const infer_metrics *metrics)
{
    static const char *const names[] = {"gpu_utilization", "gpu_memory_used", "gpu_memory_total"};
    static const char *const helps[] = {"Part of the time in which the GPU computed", "Bytes of the GPU in use",
                                        "Bytes of the GPU"};
    char number[24];
    for (size_t k = 0; k < COUNT(names) && metrics->gpu_count; k++) {
        say_head(text, names[k], "gauge", helps[k]);
        for (size_t i = 0; i < metrics->gpu_count; i++) {
            const infer_gpu *gpu = &metrics->gpus[i];
            snprintf(number, sizeof number, "%u", gpu->index);
            say_name(text, names[k], "gpu", number);
            say(text, "%.17g\n", k == 0 ? gpu->utilization : (double)(k == 1 ? gpu->memory_used : gpu->memory_total));
        }
    }
}

size_t infer_metrics_prometheus(const infer_metrics *metrics, const char *labels, char *buffer, size_t capacity)
{
    struct text text = {.to = buffer, .room = buffer ? capacity : 0, .labels = labels};
    if (!metrics)
        return 0;
    for (size_t i = 0; i < COUNT(numbers); i++)
        say_metric(&text, metrics, &numbers[i], "");
    for (size_t i = 0; i < COUNT(memory_numbers); i++)
        say_metric(&text, metrics, &memory_numbers[i], "memory_");
    say_head(&text, "ended_total", "counter", "Requests by how they ended");
    for (int i = 0; i < INFER_STATUS_COUNT; i++) {
        say_name(&text, "ended_total", "status", infer_status_name((infer_status)i));
        say(&text, "%llu\n", (unsigned long long)metrics->by_status[i]);
    }
    say_head(&text, "latency_seconds", "summary", "Time that requests take, of each stage and in all");
    for (int i = 0; i < METERS; i++)
        say_summary(&text, latencies[i].name, latency_at(metrics, i));
    say_batches(&text, metrics);
    say_gpus(&text, metrics);
    return text.length;
}
