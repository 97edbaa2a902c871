/* Buffers that end, or begin, exactly where memory that may not be touched begins, or ends. */
#ifndef INFER_TESTS_KERNELS_FENCE_H
#define INFER_TESTS_KERNELS_FENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fence_side { FENCE_AFTER, FENCE_BEFORE };

struct fence {
    const char *name;
    unsigned char *data;
    size_t bytes;
    unsigned char *open; /* whole pages that may be touched; what is not data in them is checked afterwards */
    size_t open_bytes;
};

/* Where buffers come from: another source serves another kind of memory. Each ends the program where there is none. */
struct fences {
    void (*make)(struct fence *fence, const char *name, size_t bytes, size_t alignment, enum fence_side side);
    void (*close)(struct fence *fence, bool readable); /* for reading only, or not even that */
    void (*drop)(struct fence *fence);
    bool (*is_broken)(const struct fence *fence); /* something was written beside it */
};
extern const struct fences page_fences;

/* Whether an address lies in or near a fence; how far, in words. */
bool fence_explain(const struct fence *fence, uintptr_t address, char *text, size_t room);

#endif
