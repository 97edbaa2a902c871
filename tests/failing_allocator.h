/* An allocator whose memory ends after a number of blocks, to test every place where that can happen. */
#ifndef INFER_TESTS_FAILING_ALLOCATOR_H
#define INFER_TESTS_FAILING_ALLOCATOR_H

#include "kernels/base.h"

struct failing {
    int allowed;  /* blocks it still gives */
    int held;     /* blocks given and not released */
    size_t bytes; /* of those; 0 at the end only where each was released with its own size */
};

static inline void *failing_allocate(void *user, size_t bytes, size_t alignment)
{
    struct failing *failing = user;
    if (failing->allowed-- <= 0)
        return NULL;
    failing->held++;
    failing->bytes += bytes;
    return allocate(&default_allocator, bytes, alignment);
}

static inline void failing_release(void *user, void *memory, size_t bytes)
{
    struct failing *failing = user;
    failing->held--;
    failing->bytes -= bytes;
    release(&default_allocator, memory, bytes);
}

static inline struct allocator failing_allocator(struct failing *failing)
{
    return (struct allocator){failing_allocate, failing_release, failing};
}

#endif
