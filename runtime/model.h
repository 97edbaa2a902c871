#ifndef INFER_RUNTIME_MODEL_H
#define INFER_RUNTIME_MODEL_H

#include "formats/file.h"
#include "formats/model_file.h"
#include "kernels/page_pool.h"
#include "runtime/infer.h"
#include "runtime/weights/stored.h"
#include "runtime/weights/weights.h"

#include <stdatomic.h>

struct infer_model {
    atomic_int references;
    struct allocator outer;     /* the caller's */
    struct page_pool pool;      /* where the caller has no allocator */
    struct allocator allocator; /* either of the two: all memory but this */
    struct budget budget;       /* of what opening it takes; its limit is the model's */
    struct region region;       /* the graph and its names */
    struct file_map file;       /* weights lie in here; zeroed for a model in the caller's memory */
    void *copy;                 /* of memory that was not aligned */
    size_t copy_bytes;
    struct graph *graph;
    struct model_metadata metadata;
    const void *constants; /* where those of the graph lie, in the file, and how many bytes */
    size_t constant_bytes;
    struct stored_packs stored;               /* made of them, in the file as well */
    size_t weight_bytes;                      /* both */
    struct weights weights;                   /* what its sessions derive from them */
    _Atomic(struct weights *) device_weights; /* the same in memory of a device; NULL: no session needs any */
};

/* All that a model holds but its weights. A file that is mapped, or the caller's, is not the library's memory. */
size_t model_table_bytes(const struct infer_model *model);
/* A constant as callers see it. */
static inline infer_tensor constant_tensor(const struct value *value)
{
    infer_tensor tensor = {.data = (void *)(uintptr_t)value->data,
                           .bytes = value->bytes,
                           .dtype = (infer_dtype)value->dtype,
                           .rank = value->rank};
    for (int i = 0; i < value->rank; i++)
        tensor.dims[i] = value->dims[i];
    return tensor;
}

/* What an input is where the caller leaves it out; NULL: it must be given. */
static inline const struct value *input_default(const struct graph *graph, size_t index)
{
    return graph->defaults ? graph->defaults[index] : NULL;
}

/* A copy of the caller's allocator, or the C library's where it is NULL. INVALID_ARGUMENT: it lacks a function. */
enum status choose_allocator(const infer_allocator *from, struct allocator *allocator, struct error *error);

/* INVALID_ARGUMENT: a pointer is NULL that may not be; `what` says which. */
infer_status missing_argument(infer_error *error, const char *what);

/* The boundary between the library's errors and the public ones. Returns the status. */
infer_status publish_error(infer_error *error, const struct error *from);

#endif
