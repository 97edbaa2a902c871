/* Memory of a context's runs on a device, on either side; streams, events and graphs with it. */
#include "runtime/device_run_inside.h"

#include <string.h>

/* --- memory ---------------------------------------------------------------------------------------------- */

void *device_run_take_host(struct runner *runner, size_t bytes, struct error *error)
{
    void *memory = NULL;
    if (!budget_reserve(&runner->session->budget, bytes)) {
        error_set(error, STATUS_MEMORY_LIMIT, "%s bytes for a run pass the limit of %s", grouped(bytes).text,
                  grouped(runner->session->budget.limit).text);
        return NULL;
    }
    if (device_take_host(runner->device->device, bytes, "a run", &memory, error) != STATUS_OK)
        budget_return(&runner->session->budget, bytes);
    return memory;
}

void device_run_destroy_graphs(struct runner *runner, struct captured *captured)
{
    for (int i = 0; i < captured->step_count; i++) {
        device_graph_destroy(runner->device->device, captured->graphs[i]);
        captured->graphs[i] = NULL;
    }
}

void device_run_forget_captured(struct runner *runner, struct captured **from)
{
    while (*from) {
        struct captured *gone = *from;
        *from = gone->next;
        device_run_destroy_graphs(runner, gone);
        release(runner->allocator, gone, gone->bytes);
    }
}

void device_run_give_back_host(struct runner *runner, void *memory, size_t bytes)
{
    if (!memory)
        return;
    device_run_forget_captured(runner, &runner->device->captured);
    device_give_back_host(runner->device->device, memory);
    budget_return(&runner->session->budget, bytes);
}

static enum status take_device(struct device_run *d, size_t bytes, const char *what, void **memory, struct error *error)
{
    *memory = NULL;
    if (!budget_reserve(d->budget, bytes))
        return error_set(error, STATUS_MEMORY_LIMIT, "%s bytes for %s pass the limit of %s for memory of the device",
                         grouped(bytes).text, what, grouped(d->budget->limit).text);
    struct error from = {0};
    while (device_take(d->device, bytes, what, memory, &from) == STATUS_OUT_OF_MEMORY &&
           d->budget->reclaim(d->budget->user))
        from = (struct error){0};
    if (from.status == STATUS_OK)
        return STATUS_OK;
    budget_return(d->budget, bytes);
    return error_set(error, from.status, "%s", from.text);
}

static void give_back_device(struct device_run *d, void *memory, size_t bytes)
{
    if (!memory)
        return;
    device_give_back(d->device, memory);
    budget_return(d->budget, bytes);
}

/* Of the tables by output. */
static size_t table_bytes(const struct graph *graph, size_t bytes_each)
{
    return ((size_t)graph->output_count + 1) * bytes_each;
}

static void *take_table(struct runner *runner, size_t bytes_each)
{
    size_t bytes = table_bytes(runner->graph, bytes_each);
    void *table = allocate(runner->allocator, bytes, ALIGNMENT);
    return table ? memset(table, 0, bytes) : NULL;
}

enum status device_run_create(struct runner *runner, struct error *error)
{
    struct session_device *from = runner->session->device;
    struct device_run *d = allocate(runner->allocator, sizeof *d, ALIGNMENT);
    if (!d)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for a run");
    *d = (struct device_run){.device = from->device, .budget = &from->budget};
    runner->device = d;
    d->given = take_table(runner, sizeof *d->given);
    d->wanted = take_table(runner, sizeof *d->wanted);
    d->results = take_table(runner, sizeof *d->results);
    if (!d->given || !d->wanted || !d->results)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for a run");
    return STATUS_OK;
}

static void free_events(struct runner *runner)
{
    struct device_run *d = runner->device;
    for (int i = 0; i < d->event_count; i++)
        device_event_destroy(d->device, d->events[i]);
    release(runner->allocator, d->events, (size_t)d->event_count * sizeof *d->events);
    d->events = NULL;
    d->event_count = 0;
}

void device_run_free(struct runner *runner)
{
    struct device_run *d = runner->device;
    if (!d)
        return;
    device_run_forget_captured(runner, &d->captured);
    free_events(runner);
    for (int i = 0; i < 2; i++)
        device_event_destroy(d->device, d->around[i]);
    give_back_device(d, d->arena, d->arena_bytes);
    give_back_device(d, d->fault, sizeof *d->fault);
    device_run_give_back_host(runner, d->staging, d->staging_bytes);
    device_run_give_back_host(runner, d->seen, sizeof *d->seen);
    device_stream_destroy(d->device, d->stream);
    for (int i = 0; d->results && i < runner->graph->output_count; i++)
        give_back_device(d, d->results[i].data, d->results[i].capacity);
    release(runner->allocator, d->given, table_bytes(runner->graph, sizeof *d->given));
    release(runner->allocator, d->wanted, table_bytes(runner->graph, sizeof *d->wanted));
    release(runner->allocator, d->results, table_bytes(runner->graph, sizeof *d->results));
    release(runner->allocator, d, sizeof *d);
    runner->device = NULL;
}

size_t device_run_table_bytes(const struct graph *graph, const struct needs *needs)
{
    size_t tables = table_bytes(graph, sizeof(void *) + sizeof(bool) + sizeof(struct slot));
    return sizeof(struct device_run) + tables + sizeof(struct device_fault) + needs->staging_bytes +
           (size_t)needs->events * sizeof(void *) + captured_bytes(graph, needs->steps);
}

/* --- what grows ------------------------------------------------------------------------------------------ */

static enum status reserve_stream(struct runner *runner, struct error *error)
{
    struct device_run *d = runner->device;
    void *memory;
    if (!d->stream)
        TRY(device_stream_create(&d->stream, error));
    if (!d->fault) {
        TRY(take_device(d, sizeof *d->fault, "the record of faults", &memory, error));
        d->fault = memory;
    }
    if (!d->seen)
        d->seen = device_run_take_host(runner, sizeof *d->seen, error);
    return d->seen ? STATUS_OK : error->status;
}

static enum status reserve_events(struct runner *runner, int count, struct error *error)
{
    struct device_run *d = runner->device;
    if (count <= d->event_count)
        return STATUS_OK;
    free_events(runner);
    d->events = allocate(runner->allocator, (size_t)count * sizeof *d->events, ALIGNMENT);
    if (!d->events)
        return error_set(error, STATUS_OUT_OF_MEMORY, "out of memory for a run");
    memset(d->events, 0, (size_t)count * sizeof *d->events);
    d->event_count = count;
    enum status status = STATUS_OK;
    for (int i = 0; i < count && status == STATUS_OK; i++)
        status = device_event_create(false, &d->events[i], error);
    if (status != STATUS_OK)
        free_events(runner);
    return status;
}

static enum status reserve_staging(struct runner *runner, size_t bytes, struct error *error)
{
    struct device_run *d = runner->device;
    if (bytes <= d->staging_bytes)
        return STATUS_OK;
    device_run_give_back_host(runner, d->staging, d->staging_bytes);
    d->staging_bytes = 0;
    d->staging = device_run_take_host(runner, bytes, error);
    if (!d->staging)
        return error->status;
    d->staging_bytes = bytes;
    return STATUS_OK;
}

static void release_arena(struct runner *runner)
{
    struct device_run *d = runner->device;
    device_run_forget_captured(runner, &d->captured);
    give_back_device(d, d->arena, d->arena_bytes);
    d->arena = NULL;
    d->arena_bytes = 0;
}

/* As the host's arena: never a small one beside a large one, but where its content must stay. */
static enum status reserve_arena(struct runner *runner, size_t bytes, bool keep, struct error *error)
{
    struct device_run *d = runner->device;
    void *larger;
    if (bytes <= d->arena_bytes)
        return STATUS_OK;
    if (!keep)
        release_arena(runner);
    TRY(take_device(d, bytes, "an arena", &larger, error));
    enum status status = STATUS_OK;
    if (d->arena)
        status = device_copy(larger, d->arena, d->arena_bytes, DEVICE_WITHIN, d->stream, error);
    if (d->arena && status == STATUS_OK)
        status = device_stream_wait(d->stream, error);
    if (status != STATUS_OK) {
        give_back_device(d, larger, bytes);
        return status;
    }
    release_arena(runner);
    d->arena = larger;
    d->arena_bytes = bytes;
    return STATUS_OK;
}

enum status device_run_reserve(struct runner *runner, const struct needs *needs, bool keep, struct error *error)
{
    struct error from = {0};
    enum status status = reserve_stream(runner, &from);
    if (status == STATUS_OK)
        status = reserve_events(runner, needs->events, &from);
    if (status == STATUS_OK)
        status = reserve_staging(runner, needs->staging_bytes, &from);
    if (status == STATUS_OK)
        status = reserve_arena(runner, needs->device_arena_bytes, keep, &from);
    return status == STATUS_OK ? status : error_set(error, status, "%s", from.text);
}

bool device_run_has_room(const struct runner *runner, const struct program *program)
{
    const struct device_run *d = runner->device;
    const struct device_program *needs = program->device;
    return d->stream && d->fault && d->seen && needs->arena_bytes <= d->arena_bytes &&
           needs->staging_bytes <= d->staging_bytes && needs->event_count <= d->event_count;
}

enum status device_run_reserve_result(struct runner *runner, int output, size_t bytes, struct error *error)
{
    struct device_run *d = runner->device;
    struct slot *result = &d->results[output];
    size_t most = session_result_bytes(runner->session, output, true);
    if (bytes <= result->capacity && result->data)
        return STATUS_OK;
    give_back_device(d, result->data, result->capacity);
    *result = (struct slot){0};
    size_t capacity = most > bytes ? most : bytes ? bytes : 1;
    if (take_device(d, capacity, "a result", &result->data, NULL) != STATUS_OK) {
        capacity = bytes ? bytes : 1;
        TRY(take_device(d, capacity, "a result", &result->data, error));
    }
    result->capacity = capacity;
    return STATUS_OK;
}
