#include "tools/run_profile.h"

#include "tools/common.h"
#include "tools/json.h"
#include "tools/report.h"

#include <stdlib.h>
#include <string.h>

struct profile_event {
    double start, end;
    const char *node, *op, *kernel;
    const char **sources;
    size_t source_count;
    infer_tensor *operands; /* inputs, then outputs */
    size_t input_count, output_count;
    int tasks;
    double flops;
    bool on_device; /* its time is the GPU's own */
};

void profile_start(struct profile *profile)
{
    *profile = (struct profile){.origin = seconds_now()};
    region_init(&profile->region, &default_allocator);
}

void profile_free(struct profile *profile)
{
    free(profile->events);
    if (profile->region.allocator)
        region_free(&profile->region);
    *profile = (struct profile){0};
}

void profile_before(void *user, const infer_step *step)
{
    struct profile *profile = user;
    (void)step;
    profile->started = seconds_now();
}

static struct profile_event *next_event(struct profile *profile)
{
    if (profile->count == profile->capacity) {
        size_t capacity = profile->capacity ? profile->capacity * 2 : 256;
        struct profile_event *larger = realloc(profile->events, capacity * sizeof *larger);
        if (!larger)
            return NULL;
        profile->events = larger;
        profile->capacity = capacity;
    }
    return &profile->events[profile->count];
}

/* The step is only there during the call. */
static bool copy_step(struct region *region, const infer_step *step, struct profile_event *event)
{
    size_t operands = step->input_count + step->output_count;
    event->node = region_string(region, step->node);
    event->op = region_string(region, step->op);
    event->kernel = region_string(region, step->kernel);
    event->sources = region_array(region, step->source_count + 1, sizeof *event->sources);
    event->operands = region_array(region, operands + 1, sizeof *event->operands);
    if (!event->node || !event->op || !event->kernel || !event->sources || !event->operands)
        return false;
    for (size_t i = 0; i < step->source_count; i++)
        if (!(event->sources[i] = region_string(region, step->sources[i])))
            return false;
    memcpy(event->operands, step->inputs, step->input_count * sizeof *event->operands);
    memcpy(event->operands + step->input_count, step->outputs, step->output_count * sizeof *event->operands);
    event->source_count = step->source_count;
    event->input_count = step->input_count;
    event->output_count = step->output_count;
    event->tasks = step->tasks;
    event->flops = step->flops;
    return true;
}

void profile_after(void *user, const infer_step *step)
{
    double end = seconds_now();
    struct profile *profile = user;
    struct profile_event *event = next_event(profile);
    if (!event || !copy_step(&profile->region, step, event)) {
        profile->no_memory = true;
        return;
    }
    event->start = profile->started;
    event->on_device = step->device_nanoseconds > 0;
    event->end = event->on_device ? event->start + (double)step->device_nanoseconds * 1e-9 : end;
    profile->count++;
}

/* --- writing --------------------------------------------------------------------------------------------- */

static void write_operands(FILE *file, const char *key, const infer_tensor *operands, size_t count)
{
    json_key(file, key);
    fputc('[', file);
    for (size_t i = 0; i < count; i++) {
        const infer_tensor *tensor = &operands[i];
        fputs(i ? ",\"" : "\"", file);
        fputs(tensor->dtype == INFER_NONE ? "absent" : infer_dtype_name(tensor->dtype), file);
        for (int k = 0; k < tensor->rank; k++)
            fprintf(file, "%s%lld", k ? "x" : " ", (long long)tensor->dims[k]);
        fputc('"', file);
    }
    fputc(']', file);
}

static size_t moved_bytes(const struct profile_event *event)
{
    size_t bytes = 0;
    for (size_t i = 0; i < event->input_count + event->output_count; i++)
        bytes += event->operands[i].bytes;
    return bytes;
}

static void write_event(FILE *file, const struct profile *profile, const struct profile_event *event)
{
    double seconds = event->end - event->start;
    size_t bytes = moved_bytes(event);
    fprintf(file, ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"name\":", event->on_device ? 2 : 1);
    json_text(file, event->node);
    json_key(file, "cat");
    json_text(file, event->op);
    fprintf(file, ",\"ts\":%.3f,\"dur\":%.3f,\"args\":{\"op\":", (event->start - profile->origin) * 1e6, seconds * 1e6);
    json_text(file, event->op);
    json_key(file, "kernel");
    json_text(file, event->kernel);
    json_key(file, "nodes");
    for (size_t i = 0; i < event->source_count; i++) {
        fputc(i ? ',' : '[', file);
        json_text(file, event->sources[i]);
    }
    fputs(event->source_count ? "]" : "[]", file);
    write_operands(file, "inputs", event->operands, event->input_count);
    write_operands(file, "outputs", event->operands + event->input_count, event->output_count);
    fprintf(file, ",\"tasks\":%d,\"bytes\":%zu", event->tasks, bytes);
    if (seconds > 0)
        fprintf(file, ",\"GB/s\":%.3f", (double)bytes / seconds * 1e-9);
    if (seconds > 0 && event->flops > 0)
        fprintf(file, ",\"GFLOP/s\":%.3f", event->flops / seconds * 1e-9);
    fputs("}}", file);
}

static bool has_device(const struct profile *profile)
{
    for (size_t i = 0; i < profile->count; i++)
        if (profile->events[i].on_device)
            return true;
    return false;
}

enum status profile_write(const struct profile *profile, const char *path, const char *model, struct error *error)
{
    if (profile->no_memory)
        return error_set(error, STATUS_OUT_OF_MEMORY, "%s: out of memory for the trace", path);
    FILE *file = text_open(path, error);
    if (!file)
        return error->status;
    fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\",\"args\":"
          "{\"name\":",
          file);
    json_text(file, model);
    fputs("}},\n{\"ph\":\"M\",\"pid\":1,\"tid\":1,\"name\":\"thread_name\",\"args\":{\"name\":\"calling thread\"}}",
          file);
    if (has_device(profile))
        fputs(",\n{\"ph\":\"M\",\"pid\":1,\"tid\":2,\"name\":\"thread_name\",\"args\":{\"name\":\"GPU\"}}", file);
    for (size_t i = 0; i < profile->count; i++)
        write_event(file, profile, &profile->events[i]);
    fputs("\n]}\n", file);
    return text_close(file, path, error);
}
