#ifndef INFER_RUNTIME_MODEL_H
#define INFER_RUNTIME_MODEL_H

#include "formats/file.h"
#include "formats/model_file.h"
#include "runtime/infer.h"
#include "runtime/weights/weights.h"

#include <stdatomic.h>

struct infer_model {
    atomic_int references;
    struct allocator allocator;
    struct region region; /* the graph and its names */
    struct file_map file; /* weights lie in here; zeroed for a model in the caller's memory */
    void *copy;           /* of memory that was not aligned */
    size_t copy_bytes;
    struct graph *graph;
    struct model_metadata metadata;
    const void *constants; /* where those of the graph lie, in the file, and how many bytes */
    size_t weight_bytes;
    struct weights weights; /* what its sessions derive from them */
};

/* A copy of the caller's allocator, or the C library's where it is NULL. INVALID_ARGUMENT: it lacks a function. */
enum status choose_allocator(const infer_allocator *from, struct allocator *allocator, struct error *error);

/* INVALID_ARGUMENT: a pointer is NULL that may not be; `what` says which. */
infer_status missing_argument(infer_error *error, const char *what);

/* The boundary between the library's errors and the public ones. Returns the status. */
infer_status publish_error(infer_error *error, const struct error *from);

#endif
