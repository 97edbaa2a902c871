/* A device with memory of its own: all that the rest of the runtime knows of CUDA.
 *
 * Streams, events and graphs are the driver's objects, handled as pointers. What is enqueued on a stream is done later,
 * in the order of the stream; host memory that it reads or writes must stay until then. Functions that fail name the
 * call and give CUDA's sentence: OUT_OF_MEMORY for want of memory, which says how much was asked for and how much is
 * free, DEVICE otherwise. All of them may be called from any thread.
 *
 * A build without CUDA has device_open alone, which says so. Who calls another function asks DEVICE_BUILT before, a
 * constant, so that the compiler takes the call out. */
#ifndef INFER_RUNTIME_DEVICE_DEVICE_H
#define INFER_RUNTIME_DEVICE_DEVICE_H

#include "kernels/kernel.h"

struct device;

/* The device of this process, opened by the first call and shared by all; it is never closed. UNSUPPORTED, with a
 * sentence that says what is missing: CUDA in this build, a driver, a GPU that kernels are made for. A process that
 * forked off from the one that opened it has none. */
enum status device_open(struct device **device, struct error *error);

const char *device_name(const struct device *device); /* as the driver calls it */
unsigned device_bits(const struct device *device);    /* DEVICE_... and CUDA_... bits that its kernels may use */
size_t device_bytes(const struct device *device);     /* all its memory */
enum status device_free_bytes(const struct device *device, size_t *bytes, struct error *error);

/* Memory of the device, at a multiple of 256; `what` it is for: "an arena". Its content is anything. */
enum status device_take(const struct device *device, size_t bytes, const char *what, void **memory,
                        struct error *error);
/* Waits for all that the device does. NULL is fine. In a forked process it does nothing. */
void device_give_back(const struct device *device, void *memory);
/* The same as an allocator, for those who do not ask what went wrong. */
const struct allocator *device_allocator(const struct device *device);
/* Whether kernels may read and write it: it is memory of the device, and not freed. */
bool device_owns(const struct device *device, const void *memory);
/* Memory of the host that does not move, so that copies to and from it go on by themselves. */
enum status device_take_host(const struct device *device, size_t bytes, const char *what, void **memory,
                             struct error *error);
void device_give_back_host(const struct device *device, void *memory);

enum device_direction { DEVICE_FROM_HOST, DEVICE_TO_HOST, DEVICE_WITHIN };

enum status device_stream_create(void **stream, struct error *error);
void device_stream_destroy(const struct device *device, void *stream); /* NULL is fine */
enum status device_stream_wait(void *stream, struct error *error);     /* until all that was enqueued is done */

/* Enqueued. */
enum status device_copy(void *to, const void *from, size_t bytes, enum device_direction direction, void *stream,
                        struct error *error);
enum status device_clear(void *memory, size_t bytes, void *stream, struct error *error); /* zeros */

/* A copy that is done when the call returns; memory of the host may be anywhere. */
enum status device_copy_now(const struct device *device, void *to, const void *from, size_t bytes,
                            enum device_direction direction, struct error *error);

/* A point of a stream that the host can wait for. */
enum status device_event_create(bool timed, void **event, struct error *error);
void device_event_destroy(const struct device *device, void *event); /* NULL is fine */
enum status device_event_record(void *event, void *stream, struct error *error);
enum status device_event_wait(void *event, struct error *error);
/* Between two timed events that have both been waited for: what the device has taken. */
enum status device_event_seconds(void *first, void *last, double *seconds, struct error *error);

/* What this thread enqueues on the stream between begin and end is not done but becomes a graph, which can be launched
 * any number of times with the same addresses. The end is to be called after any begin that went well. */
enum status device_capture_begin(void *stream, struct error *error);
enum status device_capture_end(void *stream, void **graph, struct error *error);
enum status device_graph_launch(void *graph, void *stream, struct error *error);
void device_graph_destroy(const struct device *device, void *graph); /* NULL is fine */

/* The kernel, of family copy, that takes a value of so many bytes (dims[0] of one axis, of elements of one byte) to the
 * device, to the host, or from one place to another of the device. */
const struct kernel *device_transfer_kernel(enum device_direction direction);

#endif
