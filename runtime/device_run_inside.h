/* What runtime/device_run*.c share: the memory of a context's runs on a device, and the runs themselves. */
#ifndef INFER_RUNTIME_DEVICE_RUN_INSIDE_H
#define INFER_RUNTIME_DEVICE_RUN_INSIDE_H

#include "runtime/device_run.h"

#include "runtime/session_device.h"

/* The stretches of a program as graphs. They hold addresses, also of the host's arena: they go where any memory of the
 * context moves, or the caller's on the device is another than in the run before. */
struct captured {
    struct captured *next;
    uint64_t program; /* by its number, which no other gets */
    size_t bytes;
    bool ran;     /* to its end, with these addresses, so that all is loaded that a capture could not load */
    bool refused; /* CUDA would not make a graph of a stretch */
    int step_count;
    const void **addresses; /* of the caller's tensors on the device, inputs and then outputs; NULL: it is not there */
    void *graphs[];         /* by the first step of the stretch; behind them the addresses */
};

struct device_run {
    const struct device *device;
    struct budget *budget; /* of memory of the device */
    void *stream;
    char *arena; /* on the device */
    size_t arena_bytes;
    char *staging; /* of the host, from and to which the caller's tensors are copied */
    size_t staging_bytes;
    struct device_fault *fault; /* on the device */
    struct device_fault *seen;  /* as it was when the stream was last waited for */
    void **events;
    int event_count;
    void *around[2]; /* events before and behind a step that is timed; NULL: none has been */
    void **given; /* by output: the caller's memory, while the output lies in the staging buffer; NULL: it does not */
    bool *wanted; /* by output: it is wanted on the device */
    struct slot *results;      /* by output: memory of the device that the context lends */
    struct captured *captured; /* the latest first */
};

static inline size_t captured_bytes(const struct graph *graph, int steps)
{
    size_t addresses = (size_t)graph->input_count + (size_t)graph->output_count;
    return sizeof(struct captured) + ((size_t)steps + addresses) * sizeof(void *);
}

/* Graphs go where an address changes that they hold; the others are made again when they run. */
void device_run_destroy_graphs(struct runner *runner, struct captured *captured);
/* All from that one on. */
void device_run_forget_captured(struct runner *runner, struct captured **from);

#endif
